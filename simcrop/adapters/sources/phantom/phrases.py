"""The sentence forms of phantom reports. Slots: {place} and {Place} (a site with its article), {size} (mm).

No form contains a full stop other than its last character and a decimal point, so the splitter gives each back whole.
"""

POSITIVE: dict[str, tuple[str, ...]] = {
    "Medical material/pacemaker": (
        "A pacemaker is seen in {place} with its electrode ending in the right ventricle.",
        "There is a cardiac pacemaker generator in {place} and its lead extends to the heart.",
        "Pacemaker and electrode are observed, the generator lying in {place}.",
    ),
    "Medical material/port": (
        "A port chamber is present in {place} and its catheter ends in the superior vena cava.",
        "There is a venous port in {place}.",
        "Port catheter extending from {place} to the superior vena cava is observed.",
    ),
    "Medical material/catheter": (
        "A central venous catheter ends in {place}.",
        "The tip of the central catheter is seen in {place}.",
        "Central venous catheter is available, its distal end at the level of {place}.",
    ),
    "Medical material/sternotomy": (
        "Suture wires secondary to previous sternotomy are seen in {place}.",
        "{Place} shows metallic wires after bypass surgery.",
        "There are sternotomy wires in {place}.",
    ),
    "Arterial wall calcification": (
        "Calcified atheroma plaques are seen in the wall of {place}.",
        "There is a {size} mm calcification in the wall of {place}.",
        "{Place} shows calcific atherosclerotic changes.",
        "Atherosclerotic wall calcifications up to {size} mm are observed in {place}.",
    ),
    "Cardiomegaly": (
        "Heart size has increased.",
        "The cardiothoracic ratio is increased in favour of the heart.",
        "The heart is larger than normal.",
        "Cardiomegaly is observed.",
    ),
    "Pericardial effusion": (
        "Pericardial effusion measuring {size} mm in thickness is observed.",
        "There is fluid of {size} mm in {place}.",
        "An effusion reaching {size} mm at its deepest point surrounds the heart.",
    ),
    "Coronary artery wall calcification": (
        "Calcified plaques are seen in {place}.",
        "There are wall calcifications of up to {size} mm in {place}.",
        "Calcific atheromatous plaque formations are observed along the course of {place}.",
        "{Place} is calcified.",
    ),
    "Hiatal hernia": (
        "A sliding hiatal hernia of {size} mm is observed.",
        "Part of the stomach is herniated into the chest through {place}.",
        "There is a hiatal hernia measuring {size} mm behind the heart.",
    ),
    "Lymphadenopathy": (
        "An enlarged lymph node with a diameter of {size} mm is seen at {place}.",
        "At {place} there is a pathological lymph node measuring {size} mm.",
        "Lymphadenopathy of {size} mm is observed at {place}.",
        "A lymph node with a short axis of {size} mm is present at {place}.",
    ),
    "Emphysema": (
        "Emphysematous changes are present in {place}.",
        "Centrilobular emphysema areas are observed in {place}.",
        "There are widespread air cysts consistent with emphysema in {place}.",
    ),
    "Atelectasis/band": (
        "Band atelectasis with a length of {size} mm is seen in {place}.",
        "There are linear atelectatic changes in {place}.",
        "A plate-like atelectasis of {size} mm is observed in {place}.",
    ),
    "Atelectasis/dependent": (
        "Dependent atelectasis is seen at the base of {place}.",
        "There are subsegmental atelectatic areas in the posterobasal part of {place}.",
        "Passive atelectasis reaching {size} mm in depth is observed in {place}.",
    ),
    "Lung nodule/solid": (
        "A {size} mm nodule is seen in {place}.",
        "There is a solid pulmonary nodule with a diameter of {size} mm in {place}.",
        "In {place}, a nodule measuring {size} mm is observed.",
        "{Place} contains a nodular lesion of {size} mm.",
    ),
    "Lung nodule/calcified": (
        "A calcified nodule of {size} mm is seen in {place}.",
        "There is a {size} mm calcific granuloma in {place}.",
        "In {place}, a densely calcified nodule with a diameter of {size} mm is observed.",
    ),
    "Lung nodule/subsolid": (
        "A subsolid nodule of {size} mm is seen in {place}.",
        "There is a part-solid nodule measuring {size} mm in {place}.",
        "In {place}, a nodule of low density with a diameter of {size} mm is observed.",
    ),
    "Lung opacity/patch": (
        "A ground glass opacity with an extent of {size} mm is observed in {place}.",
        "There is a patchy ground glass area in {place}.",
        "In {place}, increased density in ground glass appearance measuring {size} mm is present.",
        "{Place} shows a frosted glass density of {size} mm.",
    ),
    "Lung opacity/round": (
        "A rounded ground glass opacity of {size} mm is seen in {place}.",
        "There is a focal ground glass lesion with a diameter of {size} mm in {place}.",
        "In {place}, a {size} mm round ground glass density is observed.",
    ),
    "Pulmonary fibrotic sequela": (
        "Sequela fibrotic changes are seen in {place}.",
        "There are fibrotic bands with a length of {size} mm in {place}.",
        "Linear densities consistent with pleuroparenchymal sequelae are observed in {place}.",
        "{Place} shows scarring and retraction.",
    ),
    "Pleural effusion": (
        "Pleural effusion with a thickness of {size} mm is seen in {place}.",
        "There is free fluid measuring {size} mm in {place}.",
        "An effusion of {size} mm at its thickest point is observed in {place}.",
    ),
    "Mosaic attenuation pattern": (
        "A mosaic attenuation pattern is observed in {place}.",
        "There are patchy density differences in {place} consistent with mosaic perfusion.",
        "Mosaic density differences in {place} suggest small airway disease.",
    ),
    "Peribronchial thickening": (
        "Peribronchial thickening is seen in {place}.",
        "Bronchial walls are thickened in {place}.",
        "There is an increase in bronchial wall thickness, up to {size} mm, in {place}.",
    ),
    "Consolidation/patch": (
        "A consolidation area of {size} mm is seen in {place}.",
        "There is a patchy consolidation measuring {size} mm in {place}.",
        "In {place}, an infiltrative consolidation is observed.",
    ),
    "Consolidation/bronchogram": (
        "A consolidation with air bronchograms is observed in {place}.",
        "There is a {size} mm consolidation containing air bronchograms in {place}.",
        "{Place} shows consolidated parenchyma with open bronchi inside, measuring {size} mm.",
    ),
    "Bronchiectasis": (
        "Bronchiectatic changes are seen in {place}.",
        "There are dilated bronchi reaching a diameter of {size} mm in {place}.",
        "Tubular bronchiectasis is observed in {place}.",
    ),
    "Interlobular septal thickening": (
        "Interlobular septal thickening is seen in {place}.",
        "There are thickened interlobular septa in {place}.",
        "Smooth thickening of the interlobular septa is observed in {place}.",
    ),
}
"""Finding, or finding/kind -> forms that assert it."""

IMPRESSION: dict[str, tuple[str, ...]] = {
    "Medical material": ("Medical device in {place}.", "Postprocedural material in {place}."),
    "Arterial wall calcification": ("Aortic atherosclerosis.", "Calcific atheroma of {place}."),
    "Cardiomegaly": ("Cardiomegaly.", "Enlarged heart."),
    "Pericardial effusion": ("Pericardial effusion.", "Fluid in {place}."),
    "Coronary artery wall calcification": ("Coronary atherosclerosis.", "Calcific plaques in {place}."),
    "Hiatal hernia": ("Hiatal hernia.", "Sliding hernia at {place}."),
    "Lymphadenopathy": ("Lymphadenopathy at {place}.", "Enlarged lymph node of {size} mm at {place}."),
    "Emphysema": ("Emphysema in {place}.", "Emphysematous changes."),
    "Atelectasis": ("Atelectasis in {place}.", "Atelectatic changes in {place}."),
    "Lung nodule": ("Pulmonary nodule of {size} mm in {place}.", "Nodule in {place}, follow-up is recommended."),
    "Lung opacity": ("Ground glass opacity in {place}.", "Infectious process may be considered in {place}."),
    "Pulmonary fibrotic sequela": ("Sequela changes in {place}.", "Fibrotic sequelae in {place}."),
    "Pleural effusion": ("Pleural effusion in {place}.", "Effusion of {size} mm in {place}."),
    "Mosaic attenuation pattern": ("Mosaic attenuation, small airway disease.", "Mosaic perfusion in {place}."),
    "Peribronchial thickening": ("Bronchitis in {place}.", "Thickened bronchial walls in {place}."),
    "Consolidation": ("Consolidation in {place}, pneumonia.", "Pneumonic infiltration in {place}."),
    "Bronchiectasis": ("Bronchiectasis in {place}.", "Dilated bronchi in {place}."),
    "Interlobular septal thickening": ("Septal thickening in {place}.", "Interstitial edema may be considered."),
}

NO_FINDINGS = ("No acute finding in the chest.", "Thorax CT examination within normal limits.", "Not given.")

CLINICAL = ("Cough.", "Shortness of breath.", "Chest pain.", "Follow-up.", "Fever.", "Not given.")

TECHNIQUE = {
    "plain": "Non-contrast images were taken in the axial plane with {spacing} mm section thickness.",
    "contrast": "After injection of intravenous contrast material, axial images of {spacing} mm were obtained.",
}
