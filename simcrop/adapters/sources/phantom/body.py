"""A chest without findings, painted from the outside in: wall, bones, abdomen, lungs, vessels, airways, mediastinum."""

import numpy as np

from simcrop.adapters.sources.phantom import anatomy as shape
from simcrop.adapters.sources.phantom.anatomy import Anatomy, Array, Tube
from simcrop.adapters.sources.phantom.canvas import Canvas, smooth_field
from simcrop.adapters.sources.phantom.scene import Scene

FAT, MUSCLE, SOFT, AIR = -105.0, 48.0, 38.0, -990.0


def paint_chest(canvas: Canvas, anatomy: Anatomy) -> Scene:
    """Paint a patient without findings into an empty canvas."""
    scene = Scene(canvas, anatomy)
    cavity = _wall(scene)
    _skeleton(scene, cavity)
    _abdomen(scene, cavity)
    _lungs(scene, cavity)
    _vessels(scene)
    _airways(scene)
    _mediastinum(scene)
    return scene


def _wall(scene: Scene) -> Array:
    """Air, skin, fat, muscle and the fat inside the chest; returns the distance to the chest cavity."""
    canvas, anatomy = scene.canvas, scene.anatomy
    x, y, z = canvas.coordinates(canvas.whole())
    high = np.clip((z - 70) / 70, 0, 1)
    half_x = anatomy.lung_width + 22 + anatomy.fat - 6 * high
    half_y = anatomy.lung_depth + 20 + 0.7 * anatomy.fat - 16 * high
    across, deep = (x / half_x) ** 2, ((y + 6) / half_y) ** 2
    outline = np.sqrt(across + deep - 0.35 * np.minimum(across, 1.6) * np.minimum(deep, 1.6))
    outside = (outline - 1) * half_y
    if anatomy.breasts:
        for sign in (1, -1):
            place = (sign * 66, anatomy.lung_depth + 8, -18)
            _, distance = canvas.ellipsoid(place, (52, anatomy.breasts, 46))
            box = canvas.around(place, np.array((52, anatomy.breasts, 46)) + np.asarray(canvas.step))
            np.minimum(outside[box], distance, out=outside[box])
    canvas.paint(canvas.whole(), canvas.soft(outside), 10.0)
    canvas.paint(canvas.whole(), canvas.soft(outside + 2.5), FAT)
    cavity = shape.cavity_distance(anatomy, x, y, z)
    texture = smooth_field(canvas, canvas.whole(), scene.generator(1), 22.0)
    muscle = np.maximum(cavity - 17 - 7 * texture * (cavity > 0), outside + 0.45 * anatomy.fat + 3)
    canvas.paint(canvas.whole(), canvas.soft(muscle), MUSCLE)
    for sign in (1, -1):
        if anatomy.breasts:
            box, distance = canvas.ellipsoid((sign * 64, anatomy.lung_depth + 22, -20), (24, 14, 20))
            canvas.paint(box, canvas.soft(distance + 6 * texture[box]), 25.0)
    canvas.paint(canvas.whole(), canvas.soft(cavity), -80.0)
    return cavity


def _skeleton(scene: Scene, cavity: Array) -> None:
    canvas, anatomy = scene.canvas, scene.anatomy
    x, y, z = canvas.coordinates(canvas.whole())
    slope = z + 0.42 * y
    rib = np.clip(1.6 * np.cos(slope * np.float32(2 * np.pi / 25)) - 0.2, 0, 1)
    calcified = np.clip((y + np.abs(x) * 0.15 - anatomy.lung_depth * 0.72) / -12, 0.15, 1)
    shell = canvas.soft(np.abs(cavity - 6) - 4.2) * rib
    canvas.paint(canvas.whole(), shell, (anatomy.bone_hu + 220) * calcified)
    scene.parts["bones"] = [(canvas.whole(), shell)]
    _spine(scene)
    front = anatomy.lung_depth - 4
    box, distance = canvas.ellipsoid((0, front + 6, 30), (19, 7, 62))
    scene.organ("bones", box, canvas.soft(distance), anatomy.bone_hu + 60)
    for sign in (1, -1):
        scene.tube("bones", ((sign * 16, front - 12, 92, 6.0), (sign * 105, 10, 112, 6.0)), anatomy.bone_hu + 250)
        edge = anatomy.lung_depth + 2
        scene.tube("bones", ((sign * 68, -edge, 78, 6.0), (sign * 92, -edge + 22, 0, 3.5)), anatomy.bone_hu + 200)
        scene.tube("bones", ((sign * 70, -edge, 74, 6.0), (sign * 128, -edge + 52, 92, 6.0)), anatomy.bone_hu + 200)


def _spine(scene: Scene) -> None:
    canvas, anatomy = scene.canvas, scene.anatomy
    box = canvas.box((-48, -150, -1e4), (48, -40, 1e4))
    x, y, z = canvas.coordinates(box)
    y = y + (anatomy.lung_depth - 16) + anatomy.kyphosis * 12 * (1 - (z / 110) ** 2) * 0.5
    disc = np.clip(6 * np.cos(z * np.float32(2 * np.pi / 26)) - 4.6, 0, 1)
    body = np.sqrt((x / 1.2) ** 2 + y**2) - 15
    weight = canvas.soft(body)
    scene.organ("spine", box, weight, 90 * disc + (anatomy.bone_hu + 60) * (1 - disc))
    canvas.paint(box, canvas.soft(np.abs(body + 1.5) - 1.5) * (1 - disc), anatomy.bone_hu + 260)
    level = np.clip(3 * np.cos(z * np.float32(2 * np.pi / 26) + 2.6) + 0.6, 0, 1)
    arch = np.minimum(
        np.sqrt(x**2 + (y + 24) ** 2) - 13, np.maximum(np.abs(x) - 34, np.abs(y + 24 + 0.2 * np.abs(x)) - 4)
    )
    spike = np.maximum(np.abs(x) - 3.5, np.abs(y + 42) - 14)
    scene.organ("spine", box, canvas.soft(np.minimum(arch, spike)) * (0.35 + 0.65 * level), anatomy.bone_hu + 180)
    canvas.paint(box, canvas.soft(np.sqrt((x / 1.2) ** 2 + (y + 23) ** 2) - 8.0), 28.0)


def _abdomen(scene: Scene, cavity: Array) -> None:
    canvas, anatomy = scene.canvas, scene.anatomy
    box = canvas.box((-1e4, -1e4, -1e4), (1e4, 1e4, max(anatomy.domes) + 6))
    x, y, z = canvas.coordinates(box)
    below = np.maximum(z - shape.dome_height(anatomy, x, y) + 3, cavity[box] + 1)
    liver = np.maximum(below, np.maximum(-(x + 34), -(y + 95 - 0.35 * (60 - x))))
    scene.organ("liver", box, canvas.soft(liver), 58 if anatomy.blood_hu < 100 else 95)
    pulp = np.sqrt(((x + 92) / 34) ** 2 + ((y + 42) / 44) ** 2 + ((z - anatomy.domes[1] + 50) / 46) ** 2)
    scene.organ("spleen", box, canvas.soft(np.maximum((pulp - 1) * 34, below)), 50 if anatomy.blood_hu < 100 else 105)
    belly = np.sqrt(((x + 58) / 40) ** 2 + ((y - 24) / 46) ** 2 + ((z - anatomy.domes[1] + 46) / 42) ** 2)
    stomach = np.maximum((belly - 1) * 40, below + 2)
    canvas.paint(box, canvas.soft(stomach), 40.0)
    # The patient lies on the back, so the bubble of air is in front.
    canvas.paint(box, canvas.soft(np.maximum(stomach + 4, 30 - y)), -960.0)


def _lungs(scene: Scene, cavity: Array) -> None:
    canvas, anatomy = scene.canvas, scene.anatomy
    texture = smooth_field(canvas, canvas.whole(), scene.generator(2), 14.0)
    box = canvas.around(anatomy.heart_center, max(anatomy.heart) + 24)
    heart = canvas.soft(shape.heart_distance(anatomy, *canvas.coordinates(box)) - 4)
    for side in shape.SIDES:
        half = slice(len(canvas.x) // 2 - 3, None) if side == "right" else slice(0, len(canvas.x) // 2 + 3)
        region = (half, slice(None), slice(None))
        x, y, z = canvas.coordinates(region)
        weight = np.zeros_like(canvas.hu)
        distance = shape.lung_distance(anatomy, side, x, y, z)
        weight[region] = canvas.soft(distance)
        weight[box] *= 1 - heart
        scene.lungs[side] = weight
        hu = anatomy.lung_hu - 0.3 * (y + 10) + 14 * texture[region]
        oblique, horizontal = shape.fissure_heights(anatomy, side, y)
        hu = hu + 90 * np.exp(-(((z - oblique) / 2.6) ** 2))
        hu = hu + 90 * np.exp(-(((z - horizontal) / 2.2) ** 2)) * (z > oblique)
        canvas.paint(region, weight[region], hu)


def _vessels(scene: Scene) -> None:
    """Branching vessels that fill each lung and taper by Murray's law."""
    canvas, anatomy = scene.canvas, scene.anatomy
    for number, side in enumerate(shape.SIDES):
        generator = scene.generator(3, number)
        targets = shape.sample_lung_points(anatomy, side, generator, count=90, margin=5.0)
        points, parents, radii = _grow(shape.as_array(shape.HILUM[side]), targets)
        for child in range(1, len(points)):
            end_radius = radii[child]
            start_radius = min(radii[parents[child]], end_radius * 1.35)
            box, distance = canvas.capsule(points[parents[child]], points[child], start_radius, end_radius)
            weight = canvas.soft(distance) * min(1.0, 0.45 + 0.25 * end_radius)
            canvas.paint(box, weight, anatomy.blood_hu)


def _grow(root: Array, targets: Array) -> tuple[Array, list[int], list[float]]:
    order = np.argsort(np.linalg.norm(targets - root, axis=1))
    points = np.concatenate([root[None], targets[order]])
    far = np.linalg.norm(points - root, axis=1)
    parents, leaves = [0], np.zeros(len(points))
    for child in range(1, len(points)):
        # A twig joins where the way back to the root is short, which gives long stems and forward branches.
        cost = np.linalg.norm(points[:child] - points[child], axis=1) + 0.55 * far[:child]
        parents.append(int(np.argmin(cost)))
    for child in range(len(points) - 1, 0, -1):
        leaves[child] = max(leaves[child], 1)
        leaves[parents[child]] += leaves[child]
    return points, parents, [float(1.05 * n**0.38) for n in leaves]


def _airways(scene: Scene) -> None:
    """Trachea, main bronchi and two generations of bronchi to each lobe: wall first, then air."""
    anatomy = scene.anatomy
    tubes: list[Tube] = []
    for number, lobe in enumerate(shape.LOBES):
        side = lobe.split("_")[0]
        root = shape.MAIN_BRONCHI[side][-1]
        ends = shape.sample_lung_points(anatomy, side, scene.generator(4, number), count=2, margin=14.0, lobe=lobe)
        middle = 0.55 * shape.as_array(root[:3]) + 0.45 * ends.mean(axis=0)
        stem: Tube = (root, _node(middle, 4.0))
        twigs: list[Tube] = [(stem[1], _node(0.4 * middle + 0.6 * end, 2.2)) for end in ends]
        scene.airways[lobe] = [stem, *twigs]
        tubes += scene.airways[lobe]
    for tube in tubes:
        scene.tube(None, tube, -40.0, grow=1.4)
    for tube in tubes:
        scene.tube(None, tube, AIR)


def _node(point: Array, radius: float) -> tuple[float, float, float, float]:
    return float(point[0]), float(point[1]), float(point[2]), radius


def _mediastinum(scene: Scene) -> None:
    canvas, anatomy = scene.canvas, scene.anatomy
    box = canvas.around(anatomy.heart_center, max(anatomy.heart) + 24)
    distance = shape.heart_distance(anatomy, *canvas.coordinates(box))
    canvas.paint(box, canvas.soft(np.abs(distance - 2.5) - 2.5), -85.0)
    scene.organ("heart", box, canvas.soft(distance), SOFT + 0.35 * (anatomy.blood_hu - SOFT))
    canvas.paint(box, canvas.soft(distance + 9), anatomy.blood_hu)
    scene.tube("esophagus", shape.ESOPHAGUS, 32.0)
    scene.tube(None, shape.LOWER_CAVA, anatomy.blood_hu)
    for tube in shape.PULMONARY:
        scene.tube(None, tube, anatomy.blood_hu)
    scene.tube(None, shape.CAVA, anatomy.blood_hu)
    scene.tube("aorta", shape.AORTA, anatomy.blood_hu)
    airway = (shape.TRACHEA, *shape.MAIN_BRONCHI.values())
    for tube in airway:
        scene.tube(None, tube, 30.0, grow=1.8)
    for tube in airway:
        scene.tube("trachea", tube, AIR)
    for name in ("aorta", "heart"):
        for part in scene.parts[name]:
            scene.displace_lung(*part)
