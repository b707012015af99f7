"use strict";
// The page's behaviour. Texts come from the data and are set as text, never as markup.

const WINDOWS = [
  { name: "Lung", level: -600, width: 1500, density: 4 },
  { name: "Mediastinum", level: 40, width: 400, density: 24 },
  { name: "Bone", level: 400, width: 1800, density: 60 },
];
const VIEWS = [
  { name: "All", key: "g", type: 3 },
  { name: "Axial", key: "a", type: 0 },
  { name: "Coronal", key: "c", type: 1 },
  { name: "Sagittal", key: "s", type: 2 },
  { name: "3D", key: "r", type: 4 },
];
const OUTLINES = ["#39ff6a", "#63c7ff", "#ff78c8", "#ffd75e", "#aa8cff", "#ff8c5a"];
// Grey for slices; for the rendering air is clear, and what is bright in the window is dense.
const GREY = [0, 110, 190, 255];
// From dark to bright; the first entry is what lies below the threshold, which is not drawn.
const HEAT = {
  I: [0, 1, 64, 128, 192, 255],
  R: [0, 120, 188, 237, 251, 252],
  G: [0, 28, 55, 105, 180, 255],
  B: [0, 109, 84, 37, 26, 164],
  A: [0, 80, 150, 215, 240, 255],
};

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const GAP = 3; // pixels between tiles
const page = { current: -1, scan: -1, showsMap: true, showsOutlines: true, view: 0, viewer: null, scans: [], maps: [], masks: [], unpackedMasks: new Map() };

function button(parent, text, title, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.title = title;
  made.addEventListener("click", action);
  parent.append(made);
  return made;
}

function press(group, index) {
  [...$(group).children].forEach((child, at) => child.setAttribute("aria-pressed", String(at === index)));
}

function span(parent, kind, text) {
  const made = document.createElement("span");
  made.className = kind;
  made.textContent = text;
  parent.append(made);
}

function decimals(step) {
  return Math.max(0, Math.min(6, Math.ceil(-Math.log10(step)) + 1));
}

// --- volumes -------------------------------------------------------------------------------------------------------

function unpacked(volume, name, colormap) {
  return niivue.NVImage.loadFromBase64({ base64: volume.nifti, name, colormap, cal_min: 0, cal_max: 255, colorbarVisible: false });
}

async function scanImage(number) {
  page.scans[number] ??= await unpacked(data.scans[number], `scan ${number}.nii.gz`, WINDOWS[0].name);
  return page.scans[number];
}

async function mapImage(number) {
  const map = data.shown[number].map;
  if (!map) return null;
  if (!page.maps[number]) {
    const image = await unpacked(map, `map ${number}.nii.gz`, "heat");
    const counts = new Array(256).fill(0);
    for (const code of image.img) counts[code] += 1;
    page.maps[number] = { image, counts };
  }
  return page.maps[number];
}

async function maskImage(mask) {
  if (!page.unpackedMasks.has(mask)) page.unpackedMasks.set(mask, await unpacked(mask, "mask.nii.gz", "gray"));
  return page.unpackedMasks.get(mask);
}

// --- the entry that is shown ---------------------------------------------------------------------------------------

async function show(number) {
  const entry = data.shown[number];
  if (!entry) return;
  page.current = number;
  [...$("list").children].forEach((item, at) => item.firstChild.setAttribute("aria-current", String(at === number)));
  $("list").children[number].scrollIntoView({ block: "nearest" });
  const masks = [...(entry.scan === 0 ? data.outlines : []), ...entry.outlines];
  const [scan, map, ...images] = await Promise.all([scanImage(entry.scan), mapImage(number), ...masks.map(maskImage)]);
  if (page.current !== number) return; // another one was chosen meanwhile
  const { viewer } = page;
  if (page.scan !== entry.scan) {
    const window = page.scan < 0 ? null : { ...limits() };
    viewer.volumes = [];
    viewer.addVolume(scan);
    page.scan = entry.scan;
    if (window) setLimits(window.low, window.high);
  }
  while (viewer.volumes.length > 1) viewer.removeVolume(viewer.volumes[1]);
  if (map) viewer.addVolume(map.image);
  page.masks = images;
  listOutlines(masks);
  $("legend").hidden = $("opacity").parentNode.hidden = $("threshold").parentNode.hidden = !map;
  applyMap();
  goToBest();
}

function goToBest() {
  const best = data.shown[page.current]?.best_mm;
  if (best) page.viewer.scene.crosshairPos = page.viewer.mm2frac(best);
  page.viewer.createOnLocationChange();
  page.viewer.drawScene();
}

function step(by) {
  const last = data.shown.length - 1;
  show(Math.max(0, Math.min(last, page.current + by)));
}

// --- map: opacity and threshold ------------------------------------------------------------------------------------

// The lowest code that is drawn when a share of the map, in percent, is hidden.
function thresholdCode(counts, percent) {
  const total = counts.slice(1).reduce((sum, count) => sum + count, 0);
  let hidden = 0;
  for (let code = 1; code < 255; code += 1) {
    hidden += counts[code];
    if (hidden > (percent / 100) * total) return code;
  }
  return 254;
}

function applyMap() {
  const map = page.maps[page.current];
  const { viewer } = page;
  const opacity = Number($("opacity").value);
  const hidden = Number($("threshold").value);
  $("opacity_is").textContent = `${opacity} %`;
  $("threshold_is").textContent = `highest ${Number((100 - hidden).toFixed(1))} %`;
  if (!map || viewer.volumes.length < 2) return;
  const { low, step: size } = data.shown[page.current].map;
  const code = thresholdCode(map.counts, hidden);
  map.image.cal_min = code - 0.5;
  map.image.cal_max = 255;
  map.image.opacity = page.showsMap ? opacity / 100 : 0;
  $("lowest").textContent = `${data.measure} ${(low + code * size).toFixed(decimals(10 * size))}`;
  $("highest").textContent = (low + 255 * size).toFixed(decimals(10 * size));
  viewer.updateGLVolume();
}

// --- outlines ------------------------------------------------------------------------------------------------------

// Which edges of a square of four voxel centres a border joins, by which corners are inside: 1 at (0, 0), 2 at (1, 0),
// 4 at (1, 1), 8 at (0, 1). Edges by their middles.
const [TOP, RIGHT, BOTTOM, LEFT] = [[0.5, 0], [1, 0.5], [0.5, 1], [0, 0.5]];
const BORDERS = [
  [], [LEFT, TOP], [TOP, RIGHT], [LEFT, RIGHT], [RIGHT, BOTTOM], [LEFT, TOP, RIGHT, BOTTOM], [TOP, BOTTOM],
  [LEFT, BOTTOM], [BOTTOM, LEFT], [TOP, BOTTOM], [TOP, RIGHT, BOTTOM, LEFT], [RIGHT, BOTTOM], [LEFT, RIGHT],
  [TOP, RIGHT], [LEFT, TOP], [],
];
// Voxel axes across and up in a slice, and the one that it cuts: axial, coronal, sagittal.
const AXES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]];

function colourOf(number) {
  return OUTLINES[number % OUTLINES.length];
}

function listOutlines(masks) {
  $("outlines").replaceChildren(
    ...masks.map((mask, number) => {
      const item = document.createElement("span");
      const box = document.createElement("i");
      box.style.borderColor = colourOf(number);
      item.append(box, mask.name);
      return item;
    }),
  );
}

// The border of a mask in one slice, in pixels of the canvas.
function border(image, tile, number) {
  const path = new Path2D();
  const size = image.dimsRAS.slice(1, 4);
  const [across, up, cut] = AXES[tile.axCorSag];
  const at = Math.floor(tile.sliceFrac * size[cut]);
  if (at < 0 || at >= size[cut]) return path;
  const strides = [1, size[0], size[0] * size[1]];
  const inside = (u, v) =>
    u >= 0 && v >= 0 && u < size[across] && v < size[up] &&
    image.img[u * strides[across] + v * strides[up] + at * strides[cut]] > 0;
  const [left, top, width, height] = tile.leftTopWidthHeight;
  // Pixels follow voxels linearly; two points tell how.
  const fraction = (x, y) => page.viewer.screenXY2TextureFrac(left + x * width, top + y * height, number, false);
  const [near, far] = [fraction(0.25, 0.25), fraction(0.75, 0.75)];
  const place = (axis, voxel, start, length) => {
    const share = ((voxel + 0.5) / size[axis] - near[axis]) / (far[axis] - near[axis]);
    return start + length * (0.25 + 0.5 * share);
  };
  for (let v = -1; v < size[up]; v += 1) {
    for (let u = -1; u < size[across]; u += 1) {
      const corners = inside(u, v) + 2 * inside(u + 1, v) + 4 * inside(u + 1, v + 1) + 8 * inside(u, v + 1);
      BORDERS[corners].forEach(([du, dv], end) => {
        const point = [place(across, u + du, left, width), place(up, v + dv, top, height)];
        if (end % 2 === 0) path.moveTo(...point);
        else path.lineTo(...point);
      });
    }
  }
  return path;
}

// Outlines lie on a canvas of their own, above the map; drawn again whenever the viewer draws.
function drawOutlines() {
  const canvas = $("lines");
  const { width, height } = $("view");
  Object.assign(canvas, { width, height }); // clears it
  if (!page.showsOutlines) return;
  const context = canvas.getContext("2d");
  const scale = width / Math.max(1, canvas.clientWidth);
  page.viewer.screenSlices.forEach((tile, number) => {
    if (tile.axCorSag > 2) return;
    const clip = new Path2D();
    clip.rect(...tile.leftTopWidthHeight);
    context.save();
    context.clip(clip);
    page.masks.forEach((image, mask) => {
      const path = border(image, tile, number);
      for (const [colour, thickness] of [["#000a", 4], [colourOf(mask), 2]]) {
        context.strokeStyle = colour;
        context.lineWidth = thickness * scale;
        context.stroke(path);
      }
    });
    context.restore();
  });
}

// --- window --------------------------------------------------------------------------------------------------------

function limits() {
  const scan = page.viewer.volumes[0];
  const { low, step: size } = data.scans[page.scan];
  return { low: low + scan.cal_min * size, high: low + scan.cal_max * size };
}

function setLimits(low, high) {
  const scan = page.viewer.volumes[0];
  const { low: zero, step: size } = data.scans[page.scan];
  scan.cal_min = (low - zero) / size;
  scan.cal_max = (high - zero) / size;
  page.viewer.updateGLVolume();
  tellWindow();
}

function tellWindow() {
  const { low, high } = limits();
  $("window").textContent = `W ${Math.round(high - low)} L ${Math.round((high + low) / 2)}`;
  press("windows", WINDOWS.findIndex((one) => Math.abs(one.width - high + low) < 2 && Math.abs(one.level - (high + low) / 2) < 2));
}

function chooseWindow(number) {
  const { name, level, width } = WINDOWS[number];
  page.viewer.volumes[0].colormap = name;
  setLimits(level - width / 2, level + width / 2);
}

// --- views ---------------------------------------------------------------------------------------------------------

// A large axial slice with the others beside it, where the frame is wide enough; else the viewer's own grid.
function tiles() {
  const { clientWidth: width, clientHeight: height } = $("frame");
  const side = height / 3;
  if (width < 1.15 * height) return null;
  const [gapX, gapY] = [GAP / width, GAP / height];
  const left = 1 - side / width;
  const small = [1, 2, 4].map((sliceType, at) => ({ sliceType, position: [left, at / 3, side / width, 1 / 3 - gapY] }));
  return [{ sliceType: 0, position: [0, 0, left - gapX, 1] }, ...small];
}

function chooseView(number) {
  press("views", number);
  page.view = number;
  const layout = VIEWS[number].key === "g" ? tiles() : null;
  if (layout) page.viewer.setCustomLayout(layout);
  else page.viewer.clearCustomLayout();
  page.viewer.setSliceType(VIEWS[number].type);
}

// --- readout -------------------------------------------------------------------------------------------------------

function tellPlace(location) {
  const [x, y, z] = location.mm;
  $("place").textContent = `x ${x.toFixed(1)}, y ${y.toFixed(1)}, z ${z.toFixed(1)} mm`;
  const { low, step: size } = data.scans[Math.max(0, page.scan)];
  const [voxel, value] = location.values.map((one) => one.value);
  $("hu").textContent = `${low + voxel * size} HU`;
  const map = data.shown[page.current]?.map;
  $("value").textContent = map && value > 0 ? (map.low + value * map.step).toFixed(decimals(10 * map.step)) : "–";
}

// --- start ---------------------------------------------------------------------------------------------------------

function fillList() {
  data.shown.forEach((entry, number) => {
    const item = document.createElement("li");
    const row = button(item, "", "", () => show(number));
    span(row, "number", String(number + 1));
    span(row, "title", entry.title);
    span(row, "score", entry.score === null ? "" : entry.score.toFixed(3));
    entry.notes.forEach((note, at) => span(row, at === 0 ? "note" : "note more", note));
    $("list").append(item);
  });
  $("measure").textContent = data.measure;
  $("count").textContent = `${data.entries}: ${data.shown.length}`;
  $("score").textContent = data.shown.some((entry) => entry.score !== null) ? data.measure : "";
}

function fillBars() {
  WINDOWS.forEach((one, number) => button($("windows"), one.name, `W ${one.width} L ${one.level} HU (${number + 1})`, () => chooseWindow(number)));
  VIEWS.forEach((one, number) => button($("views"), one.name, `(${one.key})`, () => chooseView(number)));
  const stops = HEAT.I.slice(1).map((at, number) => `rgb(${HEAT.R[number + 1]} ${HEAT.G[number + 1]} ${HEAT.B[number + 1]}) ${(100 * at) / 255}%`);
  $("scale").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  $("opacity").addEventListener("input", applyMap);
  $("threshold").addEventListener("input", applyMap);
  for (const [opener, dialog] of [["help", "keys"], ["about", "facts"]]) {
    $(opener).addEventListener("click", () => $(dialog).showModal());
    $(dialog).addEventListener("click", (event) => { if (event.target === $(dialog)) $(dialog).close(); });
  }
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const view = VIEWS.findIndex((one) => one.key === event.key);
  const window = ["1", "2", "3"].indexOf(event.key);
  const actions = {
    j: () => step(1),
    k: () => step(-1),
    b: goToBest,
    h: () => { page.showsMap = !page.showsMap; applyMap(); },
    o: () => { page.showsOutlines = !page.showsOutlines; drawOutlines(); },
    "?": () => $("keys").showModal(),
  };
  if (view >= 0) chooseView(view);
  else if (window >= 0) chooseWindow(window);
  else if (Object.hasOwn(actions, event.key)) actions[event.key]();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function makeViewer() {
  const viewer = new niivue.Niivue({
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    backColor: [0, 0, 0, 1],
    crosshairColor: [0.39, 0.78, 1, 0.8],
    crosshairWidth: 0.7,
    crosshairWidthUnit: "mm",
    fontColor: [1, 0.84, 0.37, 1],
    show3Dcrosshair: true,
    isRuler: true,
    isColorbar: false,
    multiplanarShowRender: 1,
    multiplanarLayout: 2,
    multiplanarPadPixels: GAP,
    fontMinPx: 12,
    fontSizeScaling: 0.15,
    viewModeHotKey: "",
    clipPlaneHotKey: "",
    cycleClipPlaneHotKey: "",
    showAllOrientationMarkers: true,
    dragAndDropEnabled: false,
    loadingText: "",
    dragMode: 9, // windowing
    logLevel: "error",
  });
  for (const { name, density } of WINDOWS) {
    viewer.addColormap(name, { I: GREY, R: GREY, G: GREY, B: GREY, A: [0, 0, density / 3, density] });
  }
  viewer.addColormap("heat", HEAT);
  viewer.onLocationChange = tellPlace;
  viewer.onIntensityChange = tellWindow;
  const draw = viewer.drawScene.bind(viewer);
  viewer.drawScene = () => {
    draw();
    if (page.viewer) drawOutlines();
  };
  viewer.setRenderAzimuthElevation(160, 12);
  return viewer;
}

function picturesOnly(reason) {
  document.documentElement.classList.add("pictures-only");
  const hasPictures = $("panels").childElementCount > 0;
  $("state").textContent = `${reason}${hasPictures ? "; below are pictures of each entry" : ""}.`;
}

async function start() {
  fillList();
  fillBars();
  if (!document.createElement("canvas").getContext("webgl2")) {
    picturesOnly("This browser has no WebGL2, so the scan cannot be turned and leafed through");
    return;
  }
  page.viewer = makeViewer();
  await page.viewer.attachToCanvas($("view"));
  await show(0);
  chooseWindow(0);
  chooseView(0);
  window.addEventListener("keydown", onKey, true);
  new ResizeObserver(() => chooseView(page.view)).observe($("frame"));
  $("state").hidden = true;
}

start()
  .catch((error) => {
    console.error(error);
    picturesOnly(`The scan cannot be shown (${error.message})`);
  })
  .finally(() => {
    document.documentElement.dataset.readyMs = String(Math.round(performance.now()));
  });
