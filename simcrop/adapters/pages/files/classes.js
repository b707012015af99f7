// Classes of a scan: each has a tint and an outline of the truth, which are shown or hidden together.

function opacityOf(number) {
  return page.opacities.get(number) ?? INITIAL.classes;
}

function classColour([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

// Colours and opacities of voxels, which NiiVue draws as they are: its maps of labels have one opacity for all.
function tintImage(classes) {
  return once(kept.masks, classes, async () => {
    const image = await unpacked(classes, "classes", "gray");
    image.numbers = image.img;
    image.hdr.datatypeCode = 2304; // RGBA
    image.hdr.numBitsPerVoxel = 32;
    image.img = new Uint8Array(4 * image.numbers.length);
    return image;
  });
}

function applyClasses() {
  const { colours } = data.scans[page.scan].classes;
  const [, image] = page.viewer.volumes;
  const table = new Uint8Array(4 * 256);
  colours.forEach((colour, at) => {
    if (!page.hidden.has(at + 1)) table.set([...colour, Math.round(2.55 * opacityOf(at + 1))], 4 * (at + 1));
  });
  const [voxels, numbers] = [new Uint32Array(image.img.buffer), new Uint32Array(table.buffer)];
  image.numbers.forEach((number, at) => { voxels[at] = numbers[number]; });
  image.opacity = page.showsMap ? 1 : 0;
}

// The name of the class at a place; none where it is the background.
function classAt(mm) {
  const image = page.viewer.volumes[1];
  const [x, y, z] = image.mm2vox(mm);
  const number = image.numbers[x + image.dimsRAS[1] * (y + image.dimsRAS[2] * z)];
  return data.shown.find((entry) => entry.scan === page.scan && entry.of_class === number)?.title;
}

// The outlines of the true classes that are not hidden.
function truthLayers() {
  if (!page.truth) return [];
  const colours = data.scans[page.scan].classes.colours.map((colour, at) => [at + 1, classColour(colour)]);
  return [{ image: page.truth, colours: new Map(colours.filter(([number]) => !page.hidden.has(number))) }];
}

function toggleClass(number) {
  if (!number) return;
  if (!page.hidden.delete(number)) page.hidden.add(number);
  document.querySelectorAll("#list .toggle").forEach((toggle) => {
    toggle.setAttribute("aria-pressed", String(!page.hidden.has(Number(toggle.dataset.number))));
  });
  applyOverlay();
  page.viewer.drawScene();
}

function addToggle(item, entry) {
  const { classes } = data.scans[entry.scan];
  if (!classes || !entry.of_class) return;
  const toggle = button(item, "", `Show or hide ${entry.title}`, () => toggleClass(entry.of_class));
  toggle.className = "toggle";
  toggle.dataset.number = entry.of_class;
  toggle.setAttribute("aria-label", toggle.title);
  toggle.setAttribute("aria-pressed", "true");
  toggle.style.color = classColour(classes.colours[entry.of_class - 1]);
}

function setOpacity() {
  const { of_class: number } = data.shown[page.current];
  if (number && !data.shown[page.current].map) page.opacities.set(number, Number($("opacity").value));
  applyOverlay();
}
