"use strict";
// NiiVue as these pages use it: windows of a chest CT, the colours of a map, and one upload and one drawing a frame.

const WINDOWS = [
  // `density`: how opaque the brightest voxels of the window are in the rendering, of 255.
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
const GREY = [0, 110, 190, 255];
// From dark to bright; the first entry is for what lies below the threshold, which is not drawn.
const HEAT = {
  I: [0, 1, 64, 128, 192, 255],
  R: [0, 120, 188, 237, 251, 252],
  G: [0, 28, 55, 105, 180, 255],
  B: [0, 109, 84, 37, 26, 164],
  A: [0, 80, 150, 215, 240, 255],
};
const GAP = 3; // pixels between tiles

function makeViewer({ onPlace, onWindow, onDrawn }) {
  const viewer = new niivue.Niivue({
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    showAllOrientationMarkers: true,
    backColor: [0, 0, 0, 1],
    fontColor: [1, 0.84, 0.37, 1],
    fontMinPx: 12,
    fontSizeScaling: 0.15,
    crosshairColor: [0.39, 0.78, 1, 0.8],
    crosshairWidth: 0.7,
    crosshairWidthUnit: "mm",
    show3Dcrosshair: true,
    renderOverlayBlend: 0.12, // so that the core of a map shines through its rim
    multiplanarShowRender: 1,
    multiplanarLayout: 2,
    multiplanarPadPixels: GAP,
    dragMode: 9, // the right button changes the window
    dragAndDropEnabled: false,
    viewModeHotKey: "",
    clipPlaneHotKey: "",
    cycleClipPlaneHotKey: "",
    loadingText: "",
    logLevel: "error",
  });
  for (const { name, density } of WINDOWS) {
    viewer.addColormap(name, { I: GREY, R: GREY, G: GREY, B: GREY, A: [0, 0, density / 3, density] });
  }
  viewer.addColormap("heat", HEAT);
  viewer.onLocationChange = onPlace;
  viewer.onIntensityChange = onWindow;
  onceAFrame(viewer, onDrawn);
  viewer.setRenderAzimuthElevation(160, 12);
  return viewer;
}

// NiiVue uploads all volumes and draws at every change. Here it does so once a frame, and where only the map has
// changed it leaves the scan as it is: without a graphics card that saves seconds.
function onceAFrame(viewer, onDrawn) {
  const [uploadAll, draw] = [viewer.updateGLVolume.bind(viewer), viewer.drawScene.bind(viewer)];
  const due = { all: false, map: false, frame: null };
  const flush = () => {
    due.frame = null;
    if (due.all) uploadAll();
    else if (due.map) viewer.refreshLayers(viewer.volumes[1], 1);
    due.all = due.map = false;
    draw();
    onDrawn(viewer);
    if (viewer.volumes.length > 0) viewer.createOnLocationChange(); // tells what lies below the crosshair now
  };
  const ask = (what) => {
    if (what) due[what] = true;
    due.frame ??= requestAnimationFrame(flush);
  };
  viewer.updateGLVolume = () => ask("all");
  viewer.updateMap = () => ask("map");
  viewer.drawScene = () => ask(null);
}

function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
}

function unpacked({ nifti }, name, colormap) {
  const shown = { colormap, cal_min: 0, cal_max: 255, colorbarVisible: false };
  return niivue.NVImage.loadFromBase64({ base64: nifti, name: `${name}.nii.gz`, ...shown });
}

// A large axial slice with the others beside it, where the frame is wide enough; else none, for the viewer's own grid.
function tiles({ clientWidth: width, clientHeight: height }) {
  const side = height / 3;
  if (width < 1.15 * height) return null;
  const [gapX, gapY] = [GAP / width, GAP / height];
  const left = 1 - side / width;
  const small = [1, 2, 4].map((sliceType, at) => ({ sliceType, position: [left, at / 3, side / width, 1 / 3 - gapY] }));
  return [{ sliceType: 0, position: [0, 0, left - gapX, 1] }, ...small];
}
