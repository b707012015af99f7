"""Kernels of several makers, and descriptions in several languages."""

import pytest

from simcrop.core.data.series_words import kernel_kind, other_part


@pytest.mark.parametrize(
    ("kernel", "description", "kind"),
    [
        ("B30f", "", "soft"),
        ("B31s", "Lung 1.0", "soft"),
        (r"I30f\2", "", "soft"),
        (r"Br40d\3", "", "soft"),
        ("Qr36d", "", "soft"),
        ("B70f", "", "lung"),
        (r"I70f\2", "", "lung"),
        (r"Bl57d\3", "", "lung"),
        ("B50f", "", "lung"),
        ("STANDARD", "", "soft"),
        ("SOFT", "", "soft"),
        ("LUNG", "", "lung"),
        ("BONEPLUS", "", "lung"),
        ("CHST", "", "lung"),
        ("B", "", "soft"),
        ("YA", "", "lung"),
        ("L", "", "lung"),
        ("FC08", "", "soft"),
        ("FC13-H", "", "soft"),
        ("FC52", "", "lung"),
        ("B_SOFT_B", "", "soft"),
        ("B_VSHARP_C", "", "lung"),
        ("", "Thorax Weichteil 1.0", "soft"),
        ("", "Parenchyme 1mm", "lung"),
        ("", "Akciğer 1.0", "lung"),
        ("", "AKCİĞER", "lung"),
        ("", "YUMUŞAK DOKU", "soft"),
        ("", "Mediastinum 3.0", "soft"),
        ("", "Лёгкие", "lung"),
        ("", "肺窗", "lung"),
        ("", "mediastinum and lung", ""),
        ("X99x", "Thorax", ""),
        ("", "", ""),
    ],
)
def test_kernels_are_for_soft_tissue_or_for_lung(kernel: str, description: str, kind: str) -> None:
    assert kernel_kind(kernel, description) == kind


@pytest.mark.parametrize(
    ("description", "around", "word"),
    [
        ("", ["HEAD", ""], "HEAD"),
        ("CCT nativ Kopf 5.0", [], "Kopf"),
        ("CT ABDOMEN portal", [], "ABDOMEN"),
        ("Schädel", [], "Schädel"),
        ("CT Thorax Abdomen", ["ABDOMEN"], ""),
        ("", ["CHEST"], ""),
        ("Hals Thorax", ["NECK"], ""),
        ("CAP portal", [], ""),
        ("Capillary", [], ""),
        ("Abd 3.0", [], "Abd"),
        ("Abd 3.0", ["CHEST", "CT Thorax"], "Abd"),
        ("Wirbelsäule sag 2.0", ["CHEST", "CT Thorax/Abdomen"], "Wirbelsäule"),
        ("portal 3.0", ["ABDOMEN", "CT Thorax/Abdomen"], ""),
        ("TÓRAX", [], ""),
        ("头颅平扫", [], "头颅平扫"),
        ("Recon 2", [], ""),
        ("", [], ""),
    ],
)
def test_another_part_of_the_body_is_named_by_its_word(description: str, around: list[str], word: str) -> None:
    assert other_part(description, around) == word
