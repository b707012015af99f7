"""`simcrop data check` names what is wrong: one kind of damage at a time, and exactly the codes that it deserves."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.content_damage import CONTENT, padded
from support.damage import (
    AFFINE,
    FINDINGS,
    FileDamage,
    Hospital,
    Row,
    check_manifest,
    field,
    nifti_bytes,
    packed,
    synthetic_chest,
    unpacked,
    voxels,
    write,
)
from support.data_folders import write_ct_rate, write_table

from simcrop.adapters.formats.opening import read_volume
from simcrop.adapters.sources.checking import check_folder, check_source
from simcrop.adapters.sources.ct_rate import CTRateSource, HuDeclaration
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import REASONS, BadFileError, Problem

NAN, INF = float("nan"), float("inf")
HTML = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Please log in.</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 390881\n"


def _codes(found: list[Problem]) -> set[str]:
    return {problem.code for problem in found}


def _flip(data: bytes, place: int, mask: int = 1) -> bytes:
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def _sheared(plain: bytes) -> bytes:
    """A sform of its own, its second axis 6 degrees off the right angle."""
    image = nib.Nifti1Image.from_bytes(plain)
    sform = image.affine
    sform[0, 1] = 0.1 * abs(sform[1, 1])
    image.set_sform(sform, code=1)
    image.set_qform(None, code=0)
    return image.to_bytes()


def _sibling(path: Path) -> None:
    path.with_name(path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))


CONTAINER: dict[str, tuple[FileDamage, set[str]]] = {
    "zero bytes": (packed(lambda data: b""), {"container.empty"}),
    "one byte": (packed(lambda data: data[:1]), {"container.truncated"}),
    "cut in gzip's header": (packed(lambda data: data[:5]), {"container.truncated"}),
    "cut in the volume's header": (packed(lambda data: data[:60]), {"container.truncated"}),
    "half": (packed(lambda data: data[: len(data) // 2]), {"container.truncated"}),
    "last 9 bytes missing": (packed(lambda data: data[:-9]), {"container.truncated"}),
    "last 8 bytes missing": (packed(lambda data: data[:-8]), {"container.truncated"}),
    "last byte missing": (packed(lambda data: data[:-1]), {"container.truncated"}),
    "wrong CRC": (packed(lambda data: _flip(data, len(data) - 6)), {"container.crc"}),
    "wrong length": (packed(lambda data: _flip(data, len(data) - 2)), {"container.crc"}),
    "flipped byte": (
        packed(lambda data: _flip(gzip.compress(gzip.decompress(data), 0), 9000, 0xFF)),
        {"container.crc"},
    ),
    "unknown compression": (packed(lambda data: _flip(data, 2, 0x10)), {"container.corrupt"}),
    "invalid block": (packed(lambda data: data[:10] + b"\xff" * 30 + data[40:]), {"container.corrupt"}),
    "trailing garbage": (packed(lambda data: data + b"garbage"), {"container.trailing"}),
    "two downloads in one file": (packed(lambda data: data + data), {"container.trailing"}),
    "plain file named gz": (packed(gzip.decompress), {"container.not_gzip"}),
    "web page": (packed(lambda data: HTML), {"container.html"}),
    "web page behind a mark": (packed(lambda data: b"\xef\xbb\xbf\r\n <HTML>no</HTML>"), {"container.html"}),
    "git LFS pointer": (packed(lambda data: POINTER), {"container.lfs_pointer"}),
    "a zip": (packed(lambda data: b"PK\x03\x04" + data), {"container.format"}),
    "gzip of something else": (packed(lambda data: gzip.compress(HTML * 20)), {"container.format"}),
    "voxels missing": (unpacked(lambda plain: plain[:-2]), {"container.length"}),
    "one byte too many": (unpacked(lambda plain: plain + b"\0"), {"container.length"}),
    "a slice too many": (unpacked(lambda plain: plain + bytes(3200)), {"container.length"}),
    "plain file beside it": (_sibling, {"container.ambiguous"}),
    "claims a thousand times its size": (field((42, "3h", (1290, 1290, 1290))), {"container.bomb"}),
}

HEADER: dict[str, tuple[FileDamage, set[str]]] = {
    "size zero": (field((46, "h", (0,))), {"header.dims"}),
    "size negative": (field((44, "h", (-40,))), {"header.dims"}),
    "number of dimensions negative": (field((40, "h", (-3,))), {"header.dims"}),
    "sizes huge": (field((42, "3h", (32767, 32767, 32767))), {"header.dims_huge"}),
    "complex numbers": (field((70, "2h", (32, 64))), {"header.datatype"}),
    "colours": (field((70, "2h", (128, 24))), {"header.datatype"}),
    "unknown datatype": (field((70, "h", (777,))), {"header.datatype"}),
    "bits": (field((70, "2h", (1, 1))), {"header.datatype"}),
    "pixdim zero": (field((80, "f", (0,))), {"header.pixdim"}),
    "pixdim NaN": (field((84, "f", (NAN,))), {"header.pixdim"}),
    "pixdim infinite": (field((84, "f", (INF,))), {"header.pixdim"}),
    "pixdim negative": (field((88, "f", (-10,))), {"header.pixdim"}),
    "pixdim huge": (field((80, "f", (1e6,))), {"header.sform_pixdim", "header.sform_qform"}),
    "pixdim tiny": (field((80, "f", (1e-6,))), {"header.sform_pixdim", "header.sform_qform"}),
    "pixdim of the qform alone huge": (
        field((80, "f", (1e6,)), (254, "h", (0,))),
        {"header.spacing", "content.field_of_view"},
    ),
    "slope zero": (field((112, "f", (0,))), {"header.scaling"}),
    "slope NaN": (field((112, "f", (NAN,))), {"header.scaling"}),
    "slope infinite": (field((112, "f", (-INF,))), {"header.scaling"}),
    "intercept NaN": (field((116, "f", (NAN,))), {"header.scaling"}),
    "sform singular": (field((280, "8f", (-8, -8, 0, 0, 0, 0, 0, 0))), {"header.affine"}),
    "sform flat": (field((280, "8f", (0, -8, 0, 0, 0, -8, 0, 0))), {"header.affine"}),
    "sform zero": (field((280, "12f", (0,) * 12)), {"header.affine"}),
    "sform NaN": (field((292, "f", (NAN,))), {"header.affine"}),
    "sform sheared": (unpacked(_sheared), {"header.sheared", "header.no_qform"}),
    "sform against qform": (field((268, "f", (175,))), {"header.sform_qform"}),
    "sform against pixdim": (
        field((88, "f", (7,)), (252, "h", (0,))),
        {"header.sform_pixdim", "header.no_qform"},
    ),
    "qform no rotation": (field((256, "3f", (1, 1, 1))), {"header.invalid"}),
    "qform NaN": (field((256, "f", (NAN,))), {"header.affine"}),
    "both codes 0": (field((252, "2h", (0, 0))), {"header.no_orientation"}),
    "units unknown": (field((123, "B", (0,))), {"header.units"}),
    "units metres": (field((123, "B", (1,))), {"header.units"}),
    "qform absent": (field((252, "h", (0,))), {"header.no_qform"}),
    "voxels nowhere": (field((108, "f", (NAN,))), {"header.invalid"}),
    "voxels in the header": (field((108, "f", (0,))), {"header.invalid"}),
    "magic wrong": (field((344, "4B", (1, 2, 3, 4))), {"header.invalid"}),
    "size of the header wrong": (field((0, "i", (384,))), {"container.format"}),
}


def _cell(column: str, value: object, row: int = 0) -> Callable[[Hospital], None]:
    return lambda data: data.rows[row].update({column: value})


def _table_text(change: Callable[[str], str]) -> Callable[[Hospital], None]:
    def damage(data: Hospital) -> None:
        write_table(data.table, data.rows)
        data.table.write_text(change(data.table.read_text(encoding="utf-8")), encoding="utf-8")

    return damage


def _one_more(change: Row, volume: str | None = None) -> Callable[[Hospital], None]:
    """A second row for the first volume, or a new volume's row."""

    def damage(data: Hospital) -> None:
        if volume is not None:
            write(data.root / volume, synthetic_chest(9))
            data.rows.append(data.rows[0] | {"volume": volume} | change)
        else:
            data.rows.append(data.rows[0] | change)

    return damage


def _in_every_row(change: Callable[[Row], Row]) -> Callable[[Hospital], None]:
    return lambda data: data.rows.__setitem__(slice(None), [row | change(row) for row in data.rows])


def _copied(source: int, target: int) -> Callable[[Hospital], None]:
    def damage(data: Hospital) -> None:
        # Packed otherwise, so that the bytes differ and the voxels do not.
        plain = gzip.decompress((data.root / f"scans/{source}.nii.gz").read_bytes())
        (data.root / f"scans/{target}.nii.gz").write_bytes(gzip.compress(plain, 9))

    return damage


def _latin_1(data: Hospital) -> None:
    data.rows[0]["findings"] = "Café-au-lait spots."
    write_table(data.table, data.rows)
    data.table.write_bytes(data.table.read_text(encoding="utf-8").encode("latin-1"))


TEXT: dict[str, tuple[Callable[[Hospital], None], set[str]]] = {
    "missing report": (
        lambda data: data.rows[0].update(findings="", impression=" "),
        {"text.missing_report"},
    ),
    "empty findings": (_cell("findings", "\n"), {"text.empty_findings"}),
    "a quote never closed": (_table_text(lambda text: text + 'scans/9.nii.gz,"open'), {"text.table"}),
    "a quote never closed in a row of the right length": (
        _table_text(lambda text: text + 'scans/9.nii.gz,Normal.,,s9,p9,train,0,"1'),
        {"text.table"},
    ),
    "a quote closed too late": (
        _table_text(lambda text: text.replace("scans/1.nii.gz,The", 'scans/1.nii.gz,"The')),
        {"text.table", "set.file_without_row", "set.class_without_positives"},
    ),
    "a comma too many": (
        _table_text(lambda text: text.replace("scans/3.nii.gz,", "scans/3.nii.gz,,")),
        {"text.table", "set.file_without_row"},
    ),
    "a column missing": (_table_text(lambda text: text.replace("findings", "Befund", 1)), {"text.column"}),
    "a column twice": (_table_text(lambda text: text.replace("study_id", "findings", 1)), {"text.column"}),
    "no row": (_table_text(lambda text: text.partition("\n")[0]), {"set.no_studies"}),
    "an empty table": (_table_text(lambda text: ""), {"text.column"}),
    "saved as Latin-1": (_latin_1, {"text.encoding"}),
    "a split unheard of": (_cell("split", "test", 3), {"text.value"}),
    "a volume of another format": (_cell("volume", "scans/3.dcm", 3), {"text.value", "set.file_without_row"}),
    "a row twice": (_one_more({}), {"text.duplicate_row"}),
    "two rows that differ": (_one_more({"findings": "Normal lungs."}), {"text.duplicate_row"}),
    "filler": (_cell("findings", "Not given."), {"text.filler"}),
    "too long": (_cell("findings", f"{FINDINGS} " * 4), {"text.too_long"}),
}

FOREIGN = {
    "German": "Das Herz ist normal gross. Kein Pleuraerguss. In der linken Lunge ein Rundherd von 9 mm, am ehesten "
    "benigne. Die Trachea ist frei.",
    "Spanish": "El corazón es de tamaño normal. No se observa derrame pleural. A la izquierda hay un nódulo de 9 mm. "
    "La tráquea es normal.",
    "Portuguese": "O coração é normal. Não há derrame pleural. No lobo superior esquerdo, nódulo de 9 mm. As vias "
    "aéreas estão pérvias, a aorta tem calibre normal.",
    "French": "Le coeur est de taille normale. Pas d'épanchement pleural. On note un nodule de 9 mm à gauche. "
    "La trachée est libre.",
    "Turkish": "Trakea ve her iki ana bronş açıktır. Kalp boyutu normaldir. Plevral efüzyon izlenmedi. Sol akciğerde "
    "nodül izlendi.",
    "Chinese": "双肺纹理清晰,左肺可见一结节,直径约九毫米。心脏大小正常,未见胸腔积液,气管通畅。",
    "Russian": "Сердце не увеличено. Плевральный выпот не выявлен. В левом лёгком узел 9 мм.",
}
ENGLISH = {
    "telegraphic": "Trachea midline. Lungs clear. No effusion. No pneumothorax. Heart normal. Bones intact. No nodule.",
    "CT-RATE's": "Trachea, both main bronchi are open. Mediastinal main vascular structures, heart contour, size are "
    "normal. Thoracic aorta diameter is normal. Pericardial effusion-thickening was not observed.",
    "with Latin": "Status post resection of a carcinoma in situ, de novo ground-glass opacities et al. in the left "
    "lung, no effusion.",
}

SET: dict[str, tuple[Callable[[Hospital], None], set[str]]] = {
    "a file without a row": (
        lambda data: write(data.root / "scans/extra/9.nii.gz", synthetic_chest(9)),
        {"set.file_without_row"},
    ),
    "a row without a file": (lambda data: (data.root / "scans/3.nii.gz").unlink(), {"set.row_without_file"}),
    "a row that names a folder": (
        lambda data: (data.root / "scans/3.nii.gz").unlink() or (data.root / "scans/3.nii.gz").mkdir(),
        {"set.row_without_file"},
    ),
    "a row with a report in place of its name": (
        _cell("volume", f"{FINDINGS * 20}.nii.gz", 3),
        {"set.row_without_file", "set.file_without_row"},
    ),
    "a patient in two splits": (_cell("patient_id", "p0", 2), {"set.split_leak"}),
    "a study in two splits": (_one_more({"split": "validation"}, "scans/9.nii.gz"), {"set.split_leak"}),
    "a study of two patients": (_one_more({"patient_id": "p9"}, "scans/9.nii.gz"), {"text.value"}),
    "label columns identical": (_in_every_row(lambda row: {"mass": row["nodule"]}), {"set.labels_identical"}),
    "a class without positives": (_in_every_row(lambda row: {"mass": "0.0"}), {"set.class_without_positives"}),
    "the same voxels in both splits": (_copied(0, 2), {"set.duplicate_across_splits"}),
    "the same voxels in one split": (_copied(0, 1), {"set.duplicate"}),
}


def _linked_file(data: Hospital) -> None:
    outside = data.root.parent / "outside.nii.gz"
    data.victim.rename(outside)
    data.victim.symlink_to(outside)


def _linked_folder(data: Hospital) -> None:
    (data.root / "scans").rename(data.root.parent / "outside")
    (data.root / "scans").symlink_to(data.root.parent / "outside")


def _linked_to_itself(data: Hospital) -> None:
    data.victim.unlink()
    data.victim.symlink_to(data.victim)


def _linked_inside(data: Hospital) -> None:
    data.victim.rename(data.root / "elsewhere.bin")
    data.victim.symlink_to("../elsewhere.bin")


def _outside(path: str) -> Callable[[Hospital], None]:
    def damage(data: Hospital) -> None:
        write(data.root.parent / "outside.nii.gz", synthetic_chest(9))
        data.rows.append(data.rows[0] | {"volume": path.format(parent=data.root.parent), "study_id": "s9"})

    return damage


SAFETY: dict[str, tuple[Callable[[Hospital], None], set[str]]] = {
    "a path with ..": (_outside("scans/../../outside.nii.gz"), {"safety.outside"}),
    "an absolute path": (_outside("{parent}/outside.nii.gz"), {"safety.outside"}),
    "a link to a file outside": (_linked_file, {"safety.outside"}),
    "a link to a folder outside": (_linked_folder, {"safety.outside"}),
    "a link to itself": (_linked_to_itself, {"set.row_without_file"}),
    "a link that stays inside": (_linked_inside, set()),
}

IN_A_FILE = CONTAINER | HEADER | CONTENT
IN_A_TABLE = TEXT | SET | SAFETY


@pytest.fixture
def data(tmp_path: Path) -> Hospital:
    return Hospital.made_in(tmp_path / "data")


def test_clean_data_give_nothing(data: Hospital) -> None:
    assert data.findings() == []


def test_a_blank_label_is_no_zero(data: Hospital) -> None:
    for row, mass in zip(data.rows, ("1", "", "1", ""), strict=True):
        row["mass"] = mass
    assert data.findings() == [], "nodule is 1, 0, 1, 0"
    for row, mass in zip(data.rows, ("0", "", "0", ""), strict=True):
        row["mass"] = mass
    write_table(data.table, data.rows)
    (found,) = data.findings()
    assert (found.code, found.message) == ("set.class_without_positives", "is 0 in all of 2 studies")


def test_there_are_many_kinds_of_damage() -> None:
    assert len(IN_A_FILE) + len(IN_A_TABLE) == len(IN_A_FILE | IN_A_TABLE) >= 46
    for _, codes in (IN_A_FILE | IN_A_TABLE).values():
        assert codes <= set(REASONS)


@pytest.mark.parametrize("kind", list(IN_A_FILE))
def test_damage_of_a_file(data: Hospital, kind: str) -> None:
    damage, expected = IN_A_FILE[kind]
    damage(data.victim)
    found = data.findings()
    beside = {"set.file_without_row"} if kind == "plain file beside it" else set[str]()
    assert _codes(found) == expected | beside
    assert all(Path(problem.file).stem.startswith("0.nii") or problem.code in beside for problem in found)


@pytest.mark.parametrize("kind", list(IN_A_TABLE))
def test_damage_of_a_table(data: Hospital, kind: str) -> None:
    damage, expected = IN_A_TABLE[kind]
    damage(data)
    assert _codes(data.findings()) == expected


@pytest.mark.parametrize("kind", list(CONTAINER | HEADER))
def test_the_same_damage_of_a_real_volume(tmp_path: Path, kind: str) -> None:
    folder = os.environ.get("SIMCROP_REAL_CT")
    if not folder:
        pytest.skip("SIMCROP_REAL_CT names no folder of real volumes")
    path = tmp_path / "data" / "real.nii.gz"
    path.parent.mkdir()
    shutil.copyfile(Path(folder) / "elastix_leftlung_small.nii.gz", path)
    # Its header as a good converter writes it, so that the damage is all that is wrong.
    image = nib.load(path)
    path.write_bytes(gzip.compress(nifti_bytes(np.asarray(image.dataobj), image.affine), 1))
    before = _errors(path.parent)
    damage, expected = (CONTAINER | HEADER)[kind]
    damage(path)
    assert before == set()
    assert _errors(path.parent) == {code for code in expected if REASONS[code].severity == "error"}


def _errors(folder: Path) -> set[str]:
    found = check_folder(folder, folder.parent / "cache", workers=1)
    return {problem.code for problem in found.problems if problem.severity == "error"}


def test_padding_is_no_error_once_it_is_declared(data: Hospital) -> None:
    voxels(padded)(data.victim)
    assert data.findings(padding_value=-8192) == []


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["0.nii.gz", "0.nii"])
def test_both_versions_and_byte_orders_are_clean(tmp_path: Path, kind: type, order: str, name: str) -> None:
    image = kind.from_bytes(nifti_bytes(synthetic_chest(), kind=kind))
    turned = kind(image.dataobj, image.affine, image.header.as_byteswapped(order))
    plain = turned.to_bytes()
    assert int.from_bytes(plain[:4], "little" if order == "<" else "big") in {348, 540}
    (tmp_path / name).write_bytes(gzip.compress(plain) if name.endswith(".gz") else plain)
    assert _found_in(tmp_path) == {}


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_other_number_types_are_clean(tmp_path: Path, dtype: str) -> None:
    hu = synthetic_chest()
    if dtype == "u1":
        plain = bytearray(nifti_bytes(np.clip((hu + 1024) / 8, 0, 255).astype(np.uint8)))
        plain[112:120] = np.array([8, -1024], "<f4").tobytes()
        (tmp_path / "0.nii").write_bytes(plain)
    else:
        write(tmp_path / "0.nii", hu.astype(dtype))
    assert _found_in(tmp_path) == {}


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
def test_every_orientation_is_clean_and_slices_are_counted_along_every_axis(tmp_path: Path, axes: str) -> None:
    for name, hu in (("whole", synthetic_chest()), ("part", synthetic_chest()[:, :, 8:12])):
        turned = nib.Nifti1Image(hu, AFFINE).as_reoriented(
            nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axes))
        )
        write(tmp_path / f"{name}.nii", np.asarray(turned.dataobj), turned.affine)
    assert _found_in(tmp_path) == {"part.nii": {"content.few_slices", "content.field_of_view"}}


def test_a_cut_anywhere_is_a_truncation(tmp_path: Path) -> None:
    write(tmp_path / "whole.nii.gz", synthetic_chest())
    data = (tmp_path / "whole.nii.gz").read_bytes()
    cuts = sorted({*range(1, 24), *range(24, len(data), len(data) // 60), *range(len(data) - 12, len(data))})
    for cut in cuts:
        (tmp_path / f"cut_{cut}.nii.gz").write_bytes(data[:cut])
    assert _found_in(tmp_path) == {f"cut_{cut}.nii.gz": {"container.truncated"} for cut in cuts}


def test_a_cut_of_a_plain_file_is_a_truncation(tmp_path: Path) -> None:
    write(tmp_path / "whole.nii", synthetic_chest())
    data = (tmp_path / "whole.nii").read_bytes()
    cuts = [4, 100, 347, 351, 352, len(data) // 2, len(data) - 1]
    for cut in cuts:
        (tmp_path / f"cut_{cut}.nii").write_bytes(data[:cut])
    assert _found_in(tmp_path) == {f"cut_{cut}.nii": {"container.truncated"} for cut in cuts}


def test_a_flipped_bit_among_the_packed_voxels_is_seen(tmp_path: Path) -> None:
    write(tmp_path / "whole.nii.gz", synthetic_chest())
    data = (tmp_path / "whole.nii.gz").read_bytes()
    # Behind the part that holds the volume's header, and before the bits that fill the last byte.
    for place in range(1000, len(data) - 10, (len(data) - 1010) // 80):
        (tmp_path / f"flip_{place}.nii.gz").write_bytes(_flip(data, place, 1 << place % 8))
    found = _found_in(tmp_path)
    damaged = {"container.corrupt", "container.crc", "container.truncated", "container.length", "container.trailing"}
    assert len(found) >= 80
    assert all(codes <= damaged for codes in found.values())


def _fifo(root: Path) -> None:
    os.mkfifo(root / "0.nii.gz")


def _to_itself(root: Path) -> None:
    (root / "0.nii.gz").symlink_to(root / "0.nii.gz")


def _mask(dtype: type, top: float) -> Callable[[Path], None]:
    return lambda root: write(root / "0.nii.gz", ((synthetic_chest() > 0) * top).astype(dtype))


FOLDER: dict[str, tuple[Callable[[Path], None], dict[str, set[str]]]] = {
    "nothing": (lambda root: None, {}),
    "a gzip file named .nii": (
        lambda root: (root / "0.nii").write_bytes(gzip.compress(nifti_bytes(synthetic_chest()))) and None,
        {"0.nii": {"container.format"}},
    ),
    "garbage behind a plain file": (
        lambda root: (root / "0.nii").write_bytes(nifti_bytes(synthetic_chest()) + b"x") and None,
        {"0.nii": {"container.trailing"}},
    ),
    "packed and plain": (
        lambda root: write(root / "0.nii", synthetic_chest()) or write(root / "0.nii.gz", synthetic_chest()),
        {"0.nii": {"container.ambiguous"}, "0.nii.gz": {"container.ambiguous", "set.duplicate"}},
    ),
    "a folder named like a volume": (lambda root: (root / "0.nii.gz").mkdir(), {}),
    "a volume in a folder named like one": (lambda root: write(root / "0.nii/0.nii", synthetic_chest()), {}),
    "a pipe": (_fifo, {"0.nii.gz": {"container.unreadable"}}),
    "a link to itself": (_to_itself, {"0.nii.gz": {"container.unreadable"}}),
    "a link to nowhere": (lambda root: (root / "0.nii").symlink_to("none.nii"), {"0.nii": {"container.missing"}}),
    "a link to a file outside": (
        lambda root: (root / "0.nii").symlink_to("/etc/hostname"),
        {"0.nii": {"safety.outside"}},
    ),
    "a link to a folder outside": (lambda root: (root / "more").symlink_to("/etc"), {"more": {"safety.outside"}}),
    "a link to a folder inside": (lambda root: (root / "same").symlink_to("."), {}),
    "the longest name": (lambda root: write(root / f"{'n' * 251}.nii", synthetic_chest()), {}),
    "a mask": (_mask(np.uint8, 1), {"0.nii.gz": {"content.mask"}}),
    "a mask of floats": (_mask(np.float32, 3), {"0.nii.gz": {"content.mask"}}),
    "no mask, but grey values from 0 to 1": (_mask(np.float32, 0.9), {"0.nii.gz": {"content.eight_bit"}}),
}


@pytest.mark.parametrize("kind", list(FOLDER))
def test_a_bare_folder(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "data/clean.nii.gz", synthetic_chest(1))
    make, expected = FOLDER[kind]
    make(tmp_path / "data")
    assert _found_in(tmp_path / "data") == expected


def test_a_large_mask_is_no_bomb_though_it_packs_like_one(tmp_path: Path) -> None:
    mask = np.zeros((512, 512, 300), np.uint8)
    mask[200:220, 200:220, 100:120] = 1
    path = tmp_path / "nodule.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes(mask, np.diag([0.7, 0.7, 1, 1])), 9))
    assert path.stat().st_size < mask.nbytes / 900
    assert _found_in(tmp_path) == {path.name: {"content.mask"}}


def test_a_folder_without_a_volume_is_an_error(tmp_path: Path) -> None:
    assert _found_in(tmp_path) == {tmp_path.name: {"set.no_studies"}}


@pytest.mark.parametrize("language", list(FOREIGN))
def test_a_report_that_is_not_english_is_noted(data: Hospital, language: str) -> None:
    data.rows[0]["findings"] = FOREIGN[language]
    data.rows[0]["impression"] = ""
    assert _codes(data.findings()) == {"text.not_english"}


@pytest.mark.parametrize("style", list(ENGLISH))
def test_english_of_any_style_is_clean(data: Hospital, style: str) -> None:
    data.rows[0]["findings"] = ENGLISH[style]
    data.rows[0]["impression"] = ""
    assert data.findings() == []


@pytest.mark.parametrize("slope", [2.0**62, 3e38])
def test_a_slope_beyond_all_hu_neither_wraps_nor_ends_the_check(data: Hospital, slope: float) -> None:
    field((112, "f", (slope,)))(data.victim)
    assert _codes(data.findings()) == {"content.raw_values"}
    if slope < 1e30:
        expected = synthetic_chest().astype(np.float64) * slope
        np.testing.assert_allclose(np.abs(read_volume(data.victim).voxels.numpy()).max(), np.abs(expected).max())
    else:
        with pytest.raises(BadFileError, match="NaN or infinite"):
            read_volume(data.victim)


def test_a_leak_is_seen_behind_a_repeat_without_a_split(data: Hospital) -> None:
    data.rows[0]["split"] = ""
    _copied(0, 1)(data)
    _copied(0, 2)(data)
    found = [(problem.code, problem.values["other"]) for problem in data.findings()]
    assert found == [("set.duplicate", "scans/0.nii.gz"), ("set.duplicate_across_splits", "scans/1.nii.gz")]


def test_rows_that_are_left_out_are_not_called_absent(data: Hospital) -> None:
    data.findings()
    told: list[Problem] = []
    source = ManifestSource(data.table, quarantine=["scans/3.nii.gz"], on_problem=told.append)
    assert check_source(source, told, data.root / "cache", max_tokens=64, workers=1).problems == []


LABELS = "multi_abnormality_labels/train_predicted_labels.csv"
REPORTS = "radiology_text_reports/train_reports.csv"


def _append(name: str, line: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        with (root / name).open("a", encoding="utf-8") as file:
            file.write(f"{line}\r\n")

    return damage


def _train(root: Path, name: str = "train_2_a_1") -> Path:
    patient, scan = name[:-4], name[:-2]
    return root / "dataset/train" / patient / scan / f"{name}.nii.gz"


def _moved_out(path: Path) -> None:
    outside = path.parents[5] / "outside.nii.gz"
    path.rename(outside)
    path.symlink_to(outside)


def _make_raw(root: Path, *, but: str = "", slope: str = "1") -> None:
    names = sorted(path.name for path in root.rglob("*.nii.gz"))
    for number, path in enumerate(sorted(root.rglob("*.nii.gz"))):
        write(path, (synthetic_chest(number) + 1024).astype(np.int16))
    rows: list[Row] = [{"VolumeName": name, "RescaleSlope": slope, "RescaleIntercept": "-1024"} for name in names]
    write_table(root / "metadata/train_metadata.csv", [row for row in rows if row["VolumeName"] != f"{but}.nii.gz"])


CT_RATE: dict[str, tuple[HuDeclaration, Callable[[Path], None], set[str]]] = {
    "clean": ("hu", lambda root: None, set()),
    "clean, rescaled by its table": ("raw+csv", _make_raw, set()),
    "a volume not downloaded": ("hu", lambda root: _train(root).unlink(), {"set.partial_download"}),
    "a volume without a row": (
        "hu",
        lambda root: write(_train(root, "train_9_a_1"), synthetic_chest(9)),
        {"set.file_without_row"},
    ),
    "a name of another data set": ("hu", _append(REPORTS, "LUNA_1.nii.gz,,,Normal.,"), {"text.value"}),
    "a name too long": ("hu", _append(REPORTS, f"train_{'1' * 300}_a_1.nii.gz,,,Normal.,"), {"set.partial_download"}),
    "a row twice": ("hu", _append(REPORTS, f"train_2_a_1.nii.gz,,,{FINDINGS},"), {"text.duplicate_row"}),
    "a label that is none": ("hu", _append(LABELS, "train_9_a_1.nii.gz,2,0"), {"text.value"}),
    "labels twice, and not the same": ("hu", _append(LABELS, "train_2_a_1.nii.gz,0,0"), {"text.duplicate_row"}),
    "labels twice, and the same": ("hu", _append(LABELS, "train_2_a_1.nii.gz,1,1"), set()),
    "rescaled against the declaration": (
        "hu",
        lambda root: field((112, "2f", (1, -1024)))(_train(root)),
        {"content.scaled"},
    ),
    "no row of metadata": ("raw+csv", lambda root: _make_raw(root, but="train_2_a_1"), {"content.no_scaling"}),
    "metadata that are no number": (
        "raw+csv",
        lambda root: _make_raw(root, slope="one"),
        {"text.value", "content.no_scaling"},
    ),
    "HU by declaration, raw by content": ("hu", _make_raw, {"content.raw_values"}),
    "a link out": ("hu", lambda root: _moved_out(_train(root)), {"safety.outside"}),
    "a plain sibling": ("hu", lambda root: _sibling(_train(root)), {"container.ambiguous"}),
}


@pytest.mark.parametrize("kind", list(CT_RATE))
def test_ct_rates_layout(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "data"
    write_ct_rate(root, ["train_1_a_1", "train_2_a_1", "train_3_a_1", "train_4_a_1", "valid_1_a_1"])
    for number, path in enumerate(sorted(root.rglob("*.nii.gz"))):
        write(path, synthetic_chest(number))
    hu, damage, expected = CT_RATE[kind]
    damage(root)
    told: list[Problem] = []
    source = CTRateSource(root, hu=hu, on_problem=told.append)
    found = check_source(source, told, tmp_path / "cache", max_tokens=64, workers=1).problems
    assert _codes(list(found)) == expected


def test_real_volumes_give_no_error(tmp_path: Path) -> None:
    folder = os.environ.get("SIMCROP_REAL_CT")
    if not folder:
        pytest.skip("SIMCROP_REAL_CT names no folder of real volumes")
    found = check_manifest(Path(folder) / "reports.csv", tmp_path, max_tokens=512)
    assert [problem for problem in found if problem.severity == "error"] == []
    mask = _found_in(Path(folder), tmp_path)["ts_chest_cta_full__heart.nii.gz"]
    assert "content.mask" in mask
    assert {REASONS[code].severity for code in mask} == {"note"}


@pytest.mark.parametrize("name", ["ts_chest_cta_full", "elastix_leftlung_small"])
@pytest.mark.parametrize(
    ("change", "code"),
    [(1024, "content.raw_values"), (8192, "content.raw_values"), (-1024, "content.hu_twice")],
)
def test_real_volumes_that_are_not_hu_are_named(tmp_path: Path, name: str, change: int, code: str) -> None:
    folder = os.environ.get("SIMCROP_REAL_CT")
    if not folder:
        pytest.skip("SIMCROP_REAL_CT names no folder of real volumes")
    image = nib.load(Path(folder) / f"{name}.nii.gz")
    write(tmp_path / "0.nii", np.asarray(image.dataobj)[::2, ::2, ::2] + np.int16(change), image.affine)
    assert code in _found_in(tmp_path)["0.nii"]
    assert {c for c in _found_in(tmp_path)["0.nii"] if c.startswith("content")} <= {code, "content.field_of_view"}


def _found_in(folder: Path, cache: Path | None = None) -> dict[str, set[str]]:
    """File -> codes, of those that have any."""
    found: dict[str, set[str]] = {}
    for problem in check_folder(folder, cache or folder.parent / "cache", workers=1).problems:
        found.setdefault(Path(problem.file).name, set()).add(problem.code)
    return found
