"""Sentences as reports of chest CT have them, in many languages, with abbreviations, units, decimals and dates."""

from collections.abc import Mapping

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
ABBREVIATED = {
    "English": """
        Trachea is midline.
        The largest nodule is 0.8 cm in the RUL (ser. 4, im. 55).
        The patient is s/p lobectomy.
        Lymph nodes up to 1.1 cm, e.g. station 4R.
        The asc. aorta measures 3.8 cm.
        Mild dil. of the bronchi.
        Degenerative changes at T7-T8.
        Fx. of the 5th rib.
        Lung-RADS 4A.
        Dr. Lee was called at 5 p.m.
        Findings are c/w infection, incl. TB.
        Vol. loss on the left.
        Follow-up in 3 mo. is advised.
        St. post CABG.
        U.S. of the thyroid is recommended.
    """,
    "German": """
        Unauff. Darstellung der Schilddrüse.
        Im OL re. findet sich ein 8 mm messender Rundherd.
        Bek. Aortenektasie von 4,2 cm.
        Vgl. Voraufnahme v. 03.02.2020.
        St. n. Sternotomie.
        Ggf. Kontrolle in 3 Mon. empfohlen.
        Kl. Hiatushernie.
        Mediast. LK bis 1,1 cm, wahrsch. reaktiv.
        Li. basal Dystelektasen.
        Keine path. vergr. Lymphknoten.
        Herz norm. groß.
        In Lungensegm. 6 re. eine Verdichtung.
        Der 2. Befund betrifft die Leber.
        Zwischen dem 4. und 5. BWK Osteophyten.
        S. auch Vorbefund.
        Stenttyp unbek., Lage regelrecht.
        Verlaufskontrolle in ca. 6 Wo. empfohlen.
    """,
    "French": """
        Opacité en verre dépoli du LSG.
        Nodule solide de 6 mm (lobe sup. dt.).
        Aorte ascendante : 38 mm.
        Pas de lésion du foie, de la rate, etc.
        Épanchement péricardique min. sans retentissement.
        Mme. Durand a été prévenue.
        Calcifications coron. sévères.
        Sd. interstitiel discret.
        Lésion du seg. VI.
        À confronter à la clinique.
    """,
    "Spanish": """
        Granuloma calcificado en el LSD.
        Nódulo de 6 mm (seg. 4).
        Aorta ascendente de 3,8 cm.
        Ateromatosis ao. y coronaria.
        Derrame pericárdico mín. sin cambios.
        Fracturas costales ant. izqdas. consolidadas.
        Se recomienda control en 6 m.
        EE.UU. no aplica.
        Ganglios < 1 cm.
        Resto sin alteraciones.
    """,
    "Italian": """
        Noduli subcentimetrici bilat. invariati.
        Ispessimento pleurico sin. calcifico.
        Aorta asc. di 3,8 cm.
        Es. precedente non disponibile.
        N. 2 noduli nel LSD.
        Esiti di lobectomia sup. destra.
        Si consiglia controllo a 6 mesi.
        Linfonodi mediast. nella norma.
        Ca. 5 ml di versamento.
        Fegato steatosico.
    """,
    "Portuguese": """
        Nódulo no seg. 6 de 5 mm.
        Aorta asc. com 3,8 cm.
        Atelectasias lam. nas bases.
        Enfisema centrolob. leve.
        Sra. Souza foi avisada.
        Linfonodos med. sem alterações.
        Esteatose hepática.
        Fratura da 5.ª costela.
        Controle em 6 meses.
        Traqueia pérvia.
    """,
    "Dutch": """
        Nodus in de ROK van 6 mm.
        Status na CABG, o.a. sternotomie.
        Hilaire lymfeklieren, evt. reactief.
        Aorta asc. 3,8 cm.
        Tevens kleine hernia diafr. links.
        In seg. 6 een nodus.
        Advies: controle over 6 mnd.
        Geen pathol. klieren.
        T.o.v. 03-02-2020 onveranderd.
        I.v.m. beweging beperkt.
    """,
    "Turkish": """
        Akciğer parankiminde nodül saptanmadı.
        Sağ akciğer üst lobda 6 mm. çaplı nodül vardır.
        Ç. aorta çapı 38 mm'dir.
        Mediastende LAP yoktur.
        Hiatal herni mevcuttur (min. düzeyde).
        T7. vertebrada hemanjiom.
        Not: kontrast verilmedi.
        3. kotta kırık hattı.
        Plevral kalınlaşma yok.
        Sol akc. bazalinde atelektazi.
    """,
    "Polish": """
        Guzek w seg. 6 o śr. 6 mm.
        Aorta wst. 38 mm.
        Zmiany zwyrodn. kręgosłupa.
        Stan po CABG.
        Węzły chł. niepowiększone.
        Kontrola za 6 mies.
        Płuco pr. bez zmian.
        W 2020 r. guzek miał 5 mm.
        Pow. serca prawidłowa.
        Wątroba stłuszczona.
    """,
    "Russian": """
        Очаг в S6 пр. лёгкого до 6 мм.
        Аорта 38 мм в диам., стенки уплотнены.
        Внутригрудные л/у не увеличены.
        Костно-деструктивных изм. не выявлено.
        Контроль через 6 мес.
        Плевр. наложения слева.
        КТ от 2020 г. не представлено.
        Печень не изменена.
        В обл. верхушек фиброз.
        Трахея проходима.
    """,
    "Greek": """
        Οζίδιο στο ΔΚΛ διαμ. 6 χιλ.
        Αορτή 3,8 εκ.
        Λεμφαδένες μεσοθ. χωρίς διόγκωση.
        Εμφύσημα κεντρολ. τύπου.
        Συν. έλεγχος σε 6 μήνες.
        Ήπαρ χ.π.ε.
        Κάταγμα 5ης πλευράς.
        Αθηρωμάτωση στεφ. αγγείων.
        Μικρή υδροθώρακα αρ.
        Χωρίς άλλα ευρήματα.
    """,
    "Chinese": """
        气管及主支气管通畅。
        左肺上叶尖后段见磨玻璃影，大小约12mm×8mm。
        较前（2020.02.03）增大。
        增强后CT值约35.5HU。
        考虑炎症？
        肝左叶囊肿。
        冠状动脉钙化（LAD、LCX）。
        骨窗未见异常。
        甲状腺右叶低密度灶；建议超声。
        其余未见异常。
    """,
    "Japanese": """
        気管支壁肥厚を認めます。
        左S1+2に8mm大のGGNあり。
        前回(2020.2.3)と著変なし。
        縦隔リンパ節腫大なし。
        肝S4に嚢胞。
        甲状腺右葉に低吸収域。
        心拡大（CTR 55.5%）。
        炎症性変化を疑う！
        ほか、特記すべき所見なし。
        Follow upをお願いします。
    """,
    "Korean": """
        기관지 확장 소견 없음.
        LUL에 약 6.5mm GGN이 보임.
        이전 CT(2020.02.03)와 비교하여 변화 없음.
        S6에 소결절.
        간낭종.
        종격동 림프절 비대 없음.
        심낭 삼출 소량.
        CAC 있음.
        갑상선 결절.
        기타 특이소견 없음.
    """,
    "Arabic": """
        القصبة الهوائية سالكة.
        عقيدة بقياس 6.5 ملم في الفص العلوي.
        لا تغيير مقارنة بتاريخ 2020/02/03.
        توسع قصبي خفيف؟
        الكبد طبيعي.
        لا اعتلال عقدي.
        الأبهر الصاعد 3.8 سم.
        كيسة في الكلية.
        انخماص قاعدي.
        ينصح بالمتابعة بعد 6 أشهر.
    """,
    "Hebrew": """
        קנה הנשימה פתוח.
        קשרית של 6.5 מ"מ ב-RUL.
        ללא שינוי לעומת CT מ-03.02.2020.
        אבי העורקים העולה 3.8 ס"מ.
        כבד שומני.
        בקע סרעפתי קטן.
        ללא הגדלת בלוטות.
        פרופ' לוי עודכן.
        תמט בסיסי.
        מומלץ מעקב בעוד 6 חודשים.
    """,
    "Hindi": """
        श्वासनली खुली है।
        बाएं ऊपरी लोब में 6.5 मिमी का नोड्यूल है।
        महाधमनी 3.8 से.मी. है।
        यकृत सामान्य है।
        लिम्फ नोड बढ़े नहीं हैं।
        पिछली जांच (03.02.2020) से कोई बदलाव नहीं।
        हल्का एटेलेक्टेसिस।
        क्या संक्रमण है?
        हर्निया मौजूद है।
        6 माह बाद जांच कराएं।
    """,
}
"""Language -> more of them, nearly every one with an abbreviation, a number or a sign."""

LANGUAGES = tuple(SENTENCES)

UNSPACED = ("Chinese", "Japanese")
"""Those that put no space behind a stop."""
UNSTOPPED = ("Thai",)
"""Those that end no sentence by a mark."""
UNCASED = ("Chinese", "Japanese", "Korean", "Arabic", "Hebrew", "Hindi", "Thai", "Georgian")
"""Those whose sentences begin with no capital."""


def sentences(language: str, table: Mapping[str, str] = SENTENCES) -> list[str]:
    """The sentences of a language, in the order of a report."""
    return [line.strip() for line in table[language].strip().splitlines()]
