// Outlines of masks and a bar of mm in the slices that NiiVue shows, on a canvas above its own: no map hides them.

const OUTLINES = ["#39ff6a", "#63c7ff", "#ff78c8", "#ffd75e", "#aa8cff", "#ff8c5a"];
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

// The borders of classes in one slice, in pixels of the canvas: a path for each number that a voxel may have but 0.
function borders(viewer, image, number) {
  const tile = viewer.screenSlices[number];
  const paths = new Map();
  const size = image.dimsRAS.slice(1, 4);
  const [across, up, cut] = AXES[tile.axCorSag];
  const at = Math.floor(tile.sliceFrac * size[cut]);
  if (at < 0 || at >= size[cut]) return paths;
  const strides = [1, size[0], size[0] * size[1]];
  const numberAt = (u, v) =>
    u >= 0 && v >= 0 && u < size[across] && v < size[up]
      ? image.img[u * strides[across] + v * strides[up] + at * strides[cut]] : 0;
  const [left, top, width, height] = tile.leftTopWidthHeight;
  // Pixels follow voxels linearly; two points tell how.
  const fraction = (x, y) => viewer.screenXY2TextureFrac(left + x * width, top + y * height, number, false);
  const [near, far] = [fraction(0.25, 0.25), fraction(0.75, 0.75)];
  const place = (axis, voxel, start, length) => {
    const share = ((voxel + 0.5) / size[axis] - near[axis]) / (far[axis] - near[axis]);
    return start + length * (0.25 + 0.5 * share);
  };
  const addBorder = (path, corners, u, v) => BORDERS[corners].forEach(([du, dv], end) => {
    const point = [place(across, u + du, left, width), place(up, v + dv, top, height)];
    if (end % 2 === 0) path.moveTo(...point);
    else path.lineTo(...point);
  });
  for (let v = -1; v < size[up]; v += 1) {
    for (let u = -1; u < size[across]; u += 1) {
      const corners = [numberAt(u, v), numberAt(u + 1, v), numberAt(u + 1, v + 1), numberAt(u, v + 1)];
      if (corners.every((one) => one === corners[0])) continue;
      for (const one of new Set(corners)) {
        if (one === 0) continue;
        if (!paths.has(one)) paths.set(one, new Path2D());
        addBorder(paths.get(one), corners.reduce((sum, other, bit) => sum + (other === one ? 1 << bit : 0), 0), u, v);
      }
    }
  }
  return paths;
}

// A round number of mm, at most a third of the slice's width.
function drawBar(context, tile, scale) {
  const [left, top, width, height] = tile.leftTopWidthHeight;
  const pixels = Math.abs(width / tile.fovMM[0]);
  const length = [200, 100, 50, 20, 10].find((mm) => mm * pixels < Math.abs(width) / 3);
  if (!length) return;
  const [x, y] = [Math.min(left, left + width) + 14 * scale, top + height - 14 * scale];
  context.font = `${11 * scale}px system-ui, sans-serif`;
  context.lineJoin = "round";
  for (const [colour, thickness] of [["#000c", 4], ["#e6eaee", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thickness * scale;
    context.strokeRect(x, y, length * pixels, 0);
    if (colour === "#000c") context.strokeText(`${length} mm`, x, y - 6 * scale);
  }
  context.fillStyle = "#e6eaee";
  context.fillText(`${length} mm`, x, y - 6 * scale);
}

// Layers: an image, and what colour each of its numbers has; numbers without one are not drawn.
function drawOutlines(viewer, canvas, layers) {
  const { width, height } = viewer.canvas;
  Object.assign(canvas, { width, height }); // clears it
  const context = canvas.getContext("2d");
  const scale = width / Math.max(1, canvas.clientWidth);
  viewer.screenSlices.forEach((tile, number) => {
    if (tile.axCorSag > 2) return; // the rendering
    const clip = new Path2D();
    clip.rect(...tile.leftTopWidthHeight);
    context.save();
    context.clip(clip);
    for (const { image, colours } of layers) {
      for (const [one, path] of borders(viewer, image, number)) {
        if (!colours.has(one)) continue;
        for (const [colour, thickness] of [["#000a", 4], [colours.get(one), 2]]) {
          context.strokeStyle = colour;
          context.lineWidth = thickness * scale;
          context.stroke(path);
        }
      }
    }
    drawBar(context, tile, scale);
    context.restore();
  });
}
