"""Abbreviations of radiology reports whose stop ends no sentence, in the languages that write them with one.

A word that is also a whole word of another of these languages stands in none of the first two tables.
"""

_NEVER_LAST = """
    abd anat ant approx art bilat ca cf diam diff dr e.g eg esp ext i.e incl inf lab lat lig med mr mrs n.b obs
    parench phys post prof prox r/o resp rt sag st sup susp tbc vs
    abdom asc caud centrolob coron desc dil fx hx circumf cran dors longit mediast periph pulm thor transv ventr
    bds bek bzw dist dtl einschl entspr evtl exkl geringgr ggf
    hochgr inkl insb kaud kl kran li lks mittelgr path proc
    norm pathol re sog unauff unbek vergr vgl wahrsch zw
    ao av c.-à-d càd cfr dcha dcho dcho der dext dr dra dte dx env
    ej ex gche izda izdo izq izqda izqdas izqdo izqdos lam mme sd sin sx
    dott sig sig.ra aprox dir dta dto esq pág pag réf réf sr sra ud uds
    afb diafr bdz bijv bv evt excl gem nl ongev tgv vlgs zgn
    akc bkz doç krş maks örn uzm vb yakl yard
    chł lew np pow pr wst zwyrodn odc por praw prof śr szer tj tzn tzw wg ww zob
    бронх верх внутр задн изм обл плевр лев наруж напр нижн отд передн прав прибл проф сегм ср
    αριστ βλ δεξ δηλ διαμ δρ εικ καθ κεντρολ μεσοθ περ στεφ συν
    डॉ डा श्री मि.मी से.मी
    მაგ დაახლ იხ პროფ
    bl.a cca dvs hö ifm jf jfr mfl např pga tzv vä
"""
_SOMETIMES_LAST = """
    bds li re lks dx sx bilat der izq izda izdo dcha dcho dir esq dte gche bdz vb li δεξ αριστ
    лев прав izqdas izqdos
"""
_TERMINAL = """
    o.b i.o o.p.b u.s.w χ.π.ε a.m p.m
    atd ecc etc osv usw др κλπ
    mies mnd mo mon wo εκ χιλ мес
"""
_NEVER_LAST_BEFORE_NUMBERS = """
    fig figs im img max min no nos nr se segm ser vol
    abb lungensegm ort s mind nummer núm máx mín n p pp seg sayı ok
    str ryc rys tab рис табл стр мин макс ок αρ σελ нр nos №
"""
_STARTERS = """
    a an both in it no on the there these this
    am an auf auch bei das der die ein eine es im in kein keine keinerlei mit nach nicht ohne sonst soweit zudem
    absence aucun aucune il la le les pas un une
    el hay las los no se sin
    gli il lo non si
    as há não o os sem
    de er geen een het
    bez brak nie w
    без в не нет
    δεν η ο οι τα το χωρίς
    bu
"""
_SMALL_STARTERS = """
    no the there these this aucun aucune brak geen hay há kein keine keinerlei nie não pas sem sin δεν нет
"""
_BEFORE_ORDINALS = "am beim bis das dem den der des die im und vom zum zur"
_ORDINAL_NOUNS = """
    rib costa vertebra segment intercostal
    rippe bwk lwk hwk wirbel kosta żebr ребр
    januar februar märz april mai juni juli august september oktober november dezember
"""
_COUNTED = "category grade image level lobe rads score segment segments series slice stage type"


def _words(table: str) -> frozenset[str]:
    return frozenset(table.casefold().split())


NEVER_LAST = _words(_NEVER_LAST)
"""Those that end no sentence."""
SOMETIMES_LAST = _words(_SOMETIMES_LAST)
"""Those of them that end one where a word follows that has a capital at the start of a sentence alone."""
TERMINAL = _words(_TERMINAL)
"""Abbreviations that sentences do end with, wherever a capital follows: "Herz o.B.", "in 3 mo."."""
BEFORE_NUMBERS = _words(_NEVER_LAST_BEFORE_NUMBERS)
"""Those that end no sentence before a number."""
STARTERS = _words(_STARTERS)
"""Words that have a capital at the start of a sentence alone."""
SMALL_STARTERS = _words(_SMALL_STARTERS)
"""Words that begin a sentence in small letters even where the one before begins with a capital."""
BEFORE_ORDINALS = _words(_BEFORE_ORDINALS)
"""Words after which a number with a stop is an ordinal: "der 5. Rippe"."""
ORDINAL_NOUNS = tuple(_ORDINAL_NOUNS.casefold().split())
"""Beginnings of words before which a number with a stop is an ordinal: "the left 2. Rib"."""
CARDINALS = BEFORE_NUMBERS | _words(_COUNTED)
"""Words after which a number is no ordinal: "in segment 6. no effusion"."""
