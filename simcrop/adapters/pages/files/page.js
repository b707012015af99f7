// The page's behaviour. Texts come from the data and are set as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const page = {
  viewer: null,
  current: -1, // entry
  scan: -1,
  view: 0,
  showsMap: true,
  showsOutlines: true,
  masks: [], // those of the entry, unpacked
  truth: null, // of the scan's classes
  hidden: new Set(), // classes
  opacities: new Map(), // of classes, percent
};
const kept = { scans: new Map(), maps: new Map(), masks: new Map() };
const rows = []; // of the entries
const INITIAL = { map: 65, classes: 45 };

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

async function once(store, key, make) {
  if (!store.has(key)) store.set(key, await make());
  return store.get(key);
}

function scanImage(number) {
  return once(kept.scans, number, () => unpacked(data.scans[number], `scan ${number}`, WINDOWS[0].name));
}

// The map of an entry, and how many of its voxels have each code.
async function mapImage(number) {
  const { map } = data.shown[number];
  if (!map) return null;
  return once(kept.maps, number, async () => {
    const image = await unpacked(map, `map ${number}`, "heat");
    const counts = new Array(256).fill(0);
    for (const code of image.img) counts[code] += 1;
    return { image, counts };
  });
}

// A mask, or a map of classes.
function maskImage(mask) {
  return mask ? once(kept.masks, mask, () => unpacked(mask, "mask", "gray")) : null;
}

// --- the entry that is shown ---------------------------------------------------------------------------------------

async function show(number) {
  const entry = data.shown[number];
  if (!entry) return;
  page.current = number;
  rows.forEach((row, at) => row.setAttribute("aria-current", String(at === number)));
  rows[number].scrollIntoView({ block: "nearest" });
  const masks = [...(entry.scan === 0 ? data.outlines : []), ...entry.outlines];
  const classes = entry.map ? null : data.scans[entry.scan].classes;
  const [scan, map, tints, truth, ...images] = await Promise.all([
    scanImage(entry.scan), mapImage(number), classes && tintImage(classes), maskImage(classes?.truth),
    ...masks.map(maskImage),
  ]);
  if (page.current !== number) return; // another one was chosen meanwhile
  const overlay = map?.image ?? tints;
  const { viewer } = page;
  const isNew = page.scan !== entry.scan;
  const window = isNew && page.scan >= 0 ? limits() : null;
  if (isNew || !overlay !== viewer.volumes.length < 2) viewer.updateGLVolume();
  viewer.back = scan;
  viewer.overlays = overlay ? [overlay] : [];
  viewer.volumes = [scan, ...viewer.overlays];
  page.scan = entry.scan;
  if (window) setLimits(window.low, window.high);
  else if (isNew) chooseWindow(0);
  page.masks = images.map((image, at) => ({ image, colours: new Map([[1, colourOf(at)]]) }));
  page.truth = truth;
  listOutlines(masks, truth);
  $("legend").hidden = $("threshold").parentNode.hidden = !map;
  $("opacity").parentNode.hidden = !map && !(classes && entry.of_class);
  $("measure").parentNode.hidden = !overlay;
  $("measure").textContent = classes ? "class" : data.map_measure;
  $("opacity_of").textContent = classes ? `Opacity of ${entry.title}` : "Opacity";
  if (classes) $("opacity").value = opacityOf(entry.of_class);
  $("controls").hidden = !overlay && masks.length === 0;
  applyOverlay();
  goToBest();
}

function goToBest() {
  const best = data.shown[page.current]?.best_mm;
  // `true`: mm of the world, also for a scan whose axes lie askew.
  if (best) page.viewer.scene.crosshairPos = page.viewer.mm2frac(best, 0, true);
  page.viewer.drawScene();
}

function step(by) {
  const last = data.shown.length - 1;
  show(Math.max(0, Math.min(last, page.current + by)));
}

// --- map: opacity and threshold ------------------------------------------------------------------------------------

function applyOverlay() {
  $("opacity_is").textContent = `${$("opacity").value} %`;
  if (page.viewer.volumes.length < 2) return;
  if (data.shown[page.current].map) applyMap();
  else applyClasses();
  page.viewer.updateMap();
}

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
  const map = kept.maps.get(page.current);
  const hidden = Number($("threshold").value);
  $("threshold_is").textContent = `highest ${Number((100 - hidden).toFixed(1))} %`;
  const { low, step: size } = data.shown[page.current].map;
  const code = thresholdCode(map.counts, hidden);
  map.image.cal_min = code - 0.5;
  map.image.cal_max = 255;
  map.image.opacity = page.showsMap ? Number($("opacity").value) / 100 : 0;
  $("lowest").textContent = `${data.map_measure} ${(low + code * size).toFixed(decimals(10 * size))}`;
  $("highest").textContent = (low + 255 * size).toFixed(decimals(10 * size));
}

// --- outlines ------------------------------------------------------------------------------------------------------

function listOutlines(masks, truth) {
  const items = masks.map((mask, number) => [mask.name, colourOf(number)]);
  if (truth) items.push(["tint: as found; line: as it truly is", "var(--faint)"]);
  $("outlines").replaceChildren(
    ...items.map(([name, colour]) => {
      const item = document.createElement("span");
      const box = document.createElement("i");
      box.style.borderColor = colour;
      item.append(box, name);
      return item;
    }),
  );
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
  const isNear = (one) => Math.abs(one.width - high + low) + Math.abs(one.level - (high + low) / 2) < 2;
  press("windows", WINDOWS.findIndex(isNear));
}

function chooseWindow(number) {
  const { name, level, width } = WINDOWS[number];
  page.viewer.volumes[0].colormap = name;
  setLimits(level - width / 2, level + width / 2);
}

// --- views ---------------------------------------------------------------------------------------------------------

function chooseView(number) {
  press("views", number);
  page.view = number;
  const layout = VIEWS[number].key === "g" ? tiles($("frame")) : null;
  if (layout) page.viewer.setCustomLayout(layout);
  else page.viewer.clearCustomLayout();
  page.viewer.setSliceType(VIEWS[number].type);
}

// --- readout -------------------------------------------------------------------------------------------------------

function tellPlace(location) {
  const [x, y, z] = location.mm;
  $("place").textContent = `x ${x.toFixed(1)}, y ${y.toFixed(1)}, z ${z.toFixed(1)} mm`;
  const { low, step: size } = data.scans[page.scan];
  const [voxel, value] = location.values.map((one) => one.value);
  const beyond = { 0: "≤ ", 255: "≥ " }[voxel] ?? "";
  $("hu").textContent = `${beyond}${low + voxel * size} HU`;
  const map = data.shown[page.current]?.map;
  const told = map && value > 0 ? (map.low + value * map.step).toFixed(decimals(10 * map.step)) : null;
  $("value").textContent = told ?? (page.viewer.volumes[1]?.numbers ? classAt(location.mm) : null) ?? "–";
}

// --- start ---------------------------------------------------------------------------------------------------------

function fillList() {
  data.shown.forEach((entry, number) => {
    const { head } = data.scans[entry.scan];
    if (head && entry.scan !== data.shown[number - 1]?.scan) addHead(head);
    const item = document.createElement("li");
    const row = button(item, "", "", () => show(number));
    row.className = "row";
    rows.push(row);
    addToggle(item, entry);
    span(row, "number", String(number + 1));
    span(row, "title", entry.title);
    span(row, "score", entry.score === null ? "" : entry.score.toFixed(data.decimals));
    entry.notes.forEach((note, at) => span(row, at === 0 ? "note" : "note more", note));
    $("list").append(item);
  });
  $("count").textContent = `${data.entries}: ${data.shown.length}`;
  $("score").textContent = data.shown.some((entry) => entry.score !== null) ? data.measure : "";
}

function addHead(text) {
  const item = document.createElement("li");
  item.className = "scan";
  item.textContent = text;
  $("list").append(item);
}

function fillBars() {
  WINDOWS.forEach(({ name, level, width }, number) => {
    button($("windows"), name, `W ${width} L ${level} HU (${number + 1})`, () => chooseWindow(number));
  });
  VIEWS.forEach(({ name, key }, number) => button($("views"), name, `(${key})`, () => chooseView(number)));
  const { I, R, G, B } = HEAT;
  const stops = I.map((at, number) => `rgb(${R[number]} ${G[number]} ${B[number]}) ${(100 * at) / 255}%`).slice(1);
  $("scale").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  $("opacity").value = INITIAL.map;
  $("opacity").addEventListener("input", setOpacity);
  $("threshold").addEventListener("input", applyOverlay);
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
    h: () => { page.showsMap = !page.showsMap; applyOverlay(); },
    t: () => toggleClass(data.shown[page.current].of_class),
    o: () => { page.showsOutlines = !page.showsOutlines; page.viewer.drawScene(); },
    "?": () => $("keys").showModal(),
  };
  if (view >= 0) chooseView(view);
  else if (window >= 0) chooseWindow(window);
  else if (Object.hasOwn(actions, event.key)) actions[event.key]();
  else return;
  event.preventDefault();
  event.stopPropagation();
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
  page.viewer = makeViewer({
    onPlace: tellPlace,
    onWindow: tellWindow,
    onDrawn: (viewer) => drawOutlines(viewer, $("lines"), page.showsOutlines ? [...page.masks, ...truthLayers()] : []),
  });
  await page.viewer.attachToCanvas($("view"));
  chooseView(0);
  await show(0);
  await nextFrame();
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
