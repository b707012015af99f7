"""Sentences as reports of chest CT have them, in many languages, with abbreviations, units, decimals and dates."""

SENTENCES = {
    "English": """
        The lungs are otherwise clear.
        A 4.5 mm nodule lies in the right lower lobe (series 3, image 120).
        The mass measures 1.5 x 2 cm.
        It was 1.2 cm on 12.03.2021.
        Approx. 5 mm thick pleural plaque on the left side, e.g. of asbestos exposure.
        Old fracture of the left 2. and 3. ribs.
        Is this a metastasis?
        Compared with the examination of Dr. Smith, no change is seen.
        Consolidation vs. atelectasis in segment No. 6.
        Heart size is normal.
        No pleural effusion.
        Mean density is 12.5 HU, i.e. fluid.
    """,
    "German": """
        Die Lunge ist regelrecht belüftet.
        Im rechten Unterlappen zeigt sich ein ca. 4,5 mm großer Rundherd, z.B. ein Granulom (S. 3, Bild 120).
        Der Herd misst 1,5 x 2 cm.
        Voruntersuchung vom 12.03.2021 liegt vor.
        Mediastinale Lymphknoten bis max. 8 mm bzw. 9 mm im Kurzachsendurchmesser.
        Z. n. Fraktur der 5. Rippe links.
        V. a. Metastase, DD Granulom.
        Pleura und Herz o.B.
        Geringgr. Emphysem, insb. apikal.
        Aortensklerose, inkl. der Koronarien.
        Degenerative Veränderungen der BWS, d.h. Spondylophyten, u.a. in Höhe des 7. BWK.
        Rücksprache mit Dr. Meier am 3. Mai ist erfolgt.
        Keine Pleuraergüsse bds.
        Kein Nachweis von Konsolidierungen.
    """,
    "French": """
        Le parenchyme pulmonaire est normal.
        Nodule de 4,5 mm du lobe inférieur droit (cf. image n° 120).
        La lésion mesure 1,5 x 2 cm.
        Comparaison avec le scanner du 12/03/2021.
        Pas d'épanchement pleural.
        Micronodules, p. ex. d'origine infectieuse, env. 3 mm.
        Absence d'adénopathie médiastinale.
        Le cœur est de taille normale.
        Dr. Martin a été informé.
        Épaississement bronchique diffus, c.-à-d. une bronchopathie chronique.
        À noter une hernie hiatale.
        S'agit-il d'une métastase ?
    """,
    "Spanish": """
        Los pulmones están bien ventilados.
        Nódulo de 4,5 mm en el lóbulo inferior der. de aspecto benigno.
        La masa mide 1,5 x 2 cm.
        Estudio previo del 12.03.2021.
        No hay derrame pleural.
        ¿Se trata de una metástasis?
        Adenopatías de aprox. 9 mm, p. ej. reactivas.
        El corazón es de tamaño normal.
        Sin consolidaciones.
        Se comentó con la Dra. Ruiz.
        Engrosamiento pleural izq. sin cambios.
        Últimas costillas sin lesiones.
    """,
    "Italian": """
        I polmoni sono normoespansi.
        Nodulo di 4,5 mm nel lobo inferiore dx. a margini netti.
        La lesione misura 1,5 x 2 cm.
        Precedente esame del 12.03.2021.
        Non si osserva versamento pleurico.
        Linfonodi di circa 9 mm, p.es. reattivi.
        È presente ernia iatale.
        Cuore nei limiti.
        Calcificazioni coronariche (cfr. fig. 3).
        Segnalato al dott. Rossi.
        Non alterazioni ossee.
        Assenza di addensamenti.
    """,
    "Portuguese": """
        Os pulmões estão bem expandidos.
        Nódulo de 4,5 mm no lobo inferior dir. sem calcificação.
        A massa mede 1,5 x 2 cm.
        Exame anterior de 12.03.2021.
        Não há derrame pleural.
        Linfonodos de aprox. 9 mm, p.ex. reacionais.
        Área cardíaca normal.
        Sem consolidações.
        Há hérnia de hiato.
        Comunicado ao Dr. Silva.
        Espessamento brônquico difuso.
        Arcos costais sem lesões.
    """,
    "Dutch": """
        De longen zijn goed ontplooid.
        Nodus van ca. 4,5 mm in de rechter onderkwab (serie 3, afb. 120).
        De laesie meet 1,5 x 2 cm.
        Vergeleken met 12.03.2021.
        Geen pleuravocht.
        Lymfeklieren tot max. 9 mm, d.w.z. niet vergroot.
        Het hart is niet vergroot.
        Emfyseem, m.n. apicaal.
        Er zijn geen consolidaties.
        Besproken met dr. Jansen.
        Eén oude ribfractuur links.
        Bijv. een granuloom is mogelijk.
    """,
    "Turkish": """
        Her iki akciğer havalanması normaldir.
        Sağ alt lobda 4,5 mm boyutunda nodül izlendi (bkz. seri 3).
        Lezyon 1,5 x 2 cm ölçülmüştür.
        Önceki inceleme 12.03.2021 tarihlidir.
        Plevral efüzyon saptanmadı.
        İnfiltrasyon yoktur.
        Lenf nodları yakl. 9 mm çapındadır.
        Sol 4. ve 5. kotlarda eski kırık mevcuttur.
        Kalp boyutları doğaldır.
        Şüpheli lezyon yoktur.
        Dr. Yılmaz bilgilendirildi.
        Çevre dokular olağandır.
    """,
    "Polish": """
        Płuca są powietrzne.
        W płacie dolnym prawym guzek śr. 4,5 mm, np. ziarniniak.
        Zmiana ma wymiary 1,5 x 2 cm.
        Badanie z dnia 12.03.2021 r. do porównania.
        Nie stwierdza się płynu w jamach opłucnej.
        Węzły chłonne do ok. 9 mm, tzn. niepowiększone.
        Serce niepowiększone.
        Świeżych ognisk nie widać.
        Bez cech zatorowości.
        Złamanie żeber po stronie lewej, tj. stare.
        Opisał dr. Nowak.
        Łagodna rozedma (por. seria 3).
    """,
    "Russian": """
        Лёгкие расправлены.
        В нижней доле справа очаг 4,5 мм, т.е. вероятно гранулёма (см. рис. 3).
        Образование размерами 1,5 х 2 см.
        Сравнение с исследованием от 12.03.2021 г. проведено.
        Выпота в плевральных полостях нет.
        Лимфоузлы до 9 мм, в т.ч. бифуркационные.
        Сердце не увеличено.
        Старый перелом 5 ребра слева.
        Консолидаций не выявлено.
        Описание проф. Иванова.
        Эмфизема верхних долей.
        Метастаз?
    """,
    "Greek": """
        Οι πνεύμονες είναι καθαροί.
        Όζος 4,5 mm στον δεξιό κάτω λοβό, π.χ. κοκκίωμα (βλ. εικ. 3).
        Η βλάβη έχει διαστάσεις 1,5 x 2 cm.
        Σύγκριση με την εξέταση της 12.03.2021.
        Δεν υπάρχει πλευριτική συλλογή.
        Πρόκειται για μετάσταση;
        Λεμφαδένες έως περ. 9 mm.
        Η καρδιά είναι φυσιολογική.
        Χωρίς πυκνώσεις.
        Έλεγχος από τον Δρ. Παπαδόπουλο.
        Εμφύσημα άμφω.
        Άνευ οστικών βλαβών.
    """,
    "Chinese": """
        双肺透亮度良好。
        右肺下叶见4.5mm小结节（系列3，图像120）。
        病灶大小约1.5×2cm。
        与2021.03.12片对比无变化。
        是否为转移瘤？
        双侧胸腔无积液。
        心脏大小正常。
        纵隔内淋巴结短径约9mm，未见肿大。
        左侧第5肋骨陈旧性骨折。
        主动脉壁钙化。
        （左肺）少许纤维灶。
        建议复查！
    """,
    "Japanese": """
        両肺野は清明です。
        右下葉に4.5mmの結節があります（シリーズ3、画像120）。
        病変の大きさは1.5×2cmです。
        2021.03.12のCTと比較しました。
        転移でしょうか？
        胸水はありません。
        心臓は正常大です。
        縦隔リンパ節は短径9mmまでです。
        「すりガラス影」を認めます。
        左第5肋骨に陳旧性骨折を認める。
        大動脈に石灰化あり。
        胸膜肥厚なし。
    """,
    "Korean": """
        양측 폐는 깨끗함.
        우하엽에 4.5 mm 결절 있음 (series 3, image 120).
        병변의 크기는 1.5 x 2 cm.
        전이 가능성은?
        2021.03.12 검사와 비교함.
        흉수 없음.
        심장 크기는 정상입니다.
        종격동 림프절은 9 mm 이하임.
        좌측 5번 늑골의 오래된 골절이 있습니다.
        대동맥 석회화 소견.
        늑막 비후 없음.
        추적 검사 요망.
    """,
    "Arabic": """
        الرئتان صافيتان.
        عقيدة 4.5 مم في الفص السفلي الأيمن (السلسلة 3، الصورة 120).
        يبلغ حجم الكتلة 1.5 × 2 سم.
        تمت المقارنة مع فحص 12.03.2021.
        هل هي نقيلة؟
        لا يوجد انصباب جنبي.
        حجم القلب طبيعي.
        العقد اللمفية أقل من ٩٫٥ مم.
        كسر قديم في الضلع الخامس الأيسر.
        تكلس جدار الأبهر.
        راجع د. أحمد الصور.
        لا تضخم في الغدد.
    """,
    "Hebrew": """
        הריאות נקיות.
        קשרית בגודל 4.5 מ"מ באונה התחתונה הימנית (סדרה 3, תמונה 120).
        גודל הנגע 1.5 על 2 ס"מ.
        בהשוואה לבדיקה מיום 12.03.2021.
        האם מדובר בגרורה?
        אין תפליט פלאורלי.
        הלב בגודל תקין.
        קשריות לימפה עד 9 מ"מ.
        שבר ישן בצלע 5 משמאל.
        הסתיידויות באבי העורקים.
        ללא תסנינים.
        נפוח קל של הריאות.
    """,
    "Hindi": """
        दोनों फेफड़े साफ हैं।
        दाएं निचले लोब में 4.5 मि.मी. की गांठ है (श्रृंखला 3, चित्र 120)।
        घाव का आकार 1.5 x 2 सेमी है।
        12.03.2021 की जांच से तुलना की गई।
        क्या यह मेटास्टेसिस है?
        फुफ्फुस में द्रव नहीं है।
        हृदय का आकार सामान्य है।
        लसीका ग्रंथियां 9 मिमी तक हैं।
        डॉ. शर्मा को सूचित किया गया।
        बाईं पांचवीं पसली में पुराना फ्रैक्चर है।
        महाधमनी में कैल्सीफिकेशन है।
        कोई घनत्व नहीं है।
    """,
    "Thai": """
        ปอดทั้งสองข้างปกติ
        พบก้อนขนาด 4.5 มม. ที่ปอดกลีบล่างขวา
        รอยโรคมีขนาด 1.5 x 2 ซม. โดยประมาณ
        เปรียบเทียบกับภาพวันที่ 12.03.2021 แล้วไม่เปลี่ยนแปลง
        ไม่พบน้ำในช่องเยื่อหุ้มปอด
        หัวใจมีขนาดปกติ
        ต่อมน้ำเหลืองไม่โต
        หลอดลมใหญ่เปิดโล่งดี
        กระดูกซี่โครงซ้ายหักเก่า
        พบหินปูนที่ผนังหลอดเลือดแดงใหญ่
        ไม่พบก้อนที่ต่อมหมวกไต
        แนะนำให้ตรวจติดตาม
    """,
    "Georgian": """
        ფილტვები გამჭვირვალეა.
        მარჯვენა ქვედა წილში 4.5 მმ კვანძია (სერია 3, სურათი 120).
        წარმონაქმნის ზომაა 1.5 x 2 სმ.
        შედარდა 12.03.2021 წლის კვლევასთან.
        მეტასტაზია?
        პლევრის ღრუში სითხე არ არის.
        გული ნორმალური ზომისაა.
        ლიმფური კვანძები დაახლ. 9 მმ ზომისაა.
        მარცხენა მეხუთე ნეკნის ძველი მოტეხილობა.
        აორტის კალციფიკაცია.
        კონსოლიდაცია არ ვლინდება.
        რეკომენდებულია კონტროლი.
    """,
}
"""Language -> sentences, one a line."""
LANGUAGES = tuple(SENTENCES)

UNSPACED = ("Chinese", "Japanese")
"""Those that put no space behind a stop."""
UNSTOPPED = ("Thai",)
"""Those that end no sentence by a mark."""
UNCASED = ("Chinese", "Japanese", "Korean", "Arabic", "Hebrew", "Hindi", "Thai", "Georgian")
"""Those whose sentences begin with no capital."""


def sentences(language: str) -> list[str]:
    """The sentences of a language, in the order of a report."""
    return [line.strip() for line in SENTENCES[language].strip().splitlines()]
