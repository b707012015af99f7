"""Abbreviations of radiology reports whose stop ends no sentence, in the languages that write them with one.

A word that is also a whole word of another of these languages stands in none of the first two tables.
"""

_NEVER_LAST = """
    abd anat ant approx art bilat ca cf diam diff dr e.g eg esp etc ext i.e incl inf lab lat lig med mr mrs n.b obs
    parench phys post prof prox r/o resp rt sag st sup susp tbc vs
    abdom caud circumf cran dors longit mediast periph pulm thor transv ventr
    bds bek bzw dist dtl einschl entspr evtl exkl geringgr ggf hochgr inkl insb kaud kl kran li lks mittelgr path proc
    re sog unauff usw vgl zw
    av c.-à-d càd cfr dcha dcho dcho der dext dr dra dte dx ecc env ej ex gche izda izdo izq izqda izqdo sin sx
    dott sig sig.ra aprox dir dta dto esq pág pag réf réf sr sra ud uds
    afb bdz bijv bv evt excl gem nl ongev tgv vlgs zgn
    bkz doç krş maks örn uzm vb yakl yard
    lew np odc por praw prof śr szer tj tzn tzw wg ww zob
    бронх верх внутр др задн лев наруж напр нижн отд передн прав прибл проф сегм ср
    αριστ βλ δεξ δηλ δρ εικ εκ καθ κλπ περ χιλ
    डॉ डा श्री मि.मी से.मी
    მაგ დაახლ იხ პროფ
    atd bl.a cca dvs hö ifm jf jfr mfl např osv pga tzv vä
"""
_SOMETIMES_LAST = """
    etc bds li re lks usw ecc dx sx bilat der izq izda izdo dcha dcho dir esq dte gche bdz vb li др κλπ εκ χιλ δεξ αριστ
    лев прав atd osv
"""
_TERMINAL = "o.b i.o o.p.b u.s.w"
_NEVER_LAST_BEFORE_NUMBERS = """
    fig figs im img max min no nos nr se segm ser vol
    abb ort s mind nummer núm máx mín n p pp seg sayı ok str ryc rys tab рис табл стр мин макс ок αρ σελ нр nos №
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
"""Abbreviations with inner stops that sentences do end with: "Herz o.B."."""
BEFORE_NUMBERS = _words(_NEVER_LAST_BEFORE_NUMBERS)
"""Those that end no sentence before a number."""
STARTERS = _words(_STARTERS)
"""Words that have a capital at the start of a sentence alone."""
BEFORE_ORDINALS = _words(_BEFORE_ORDINALS)
"""Words after which a number with a stop is an ordinal: "der 5. Rippe"."""
ORDINAL_NOUNS = tuple(_ORDINAL_NOUNS.casefold().split())
"""Beginnings of words before which a number with a stop is an ordinal: "the left 2. Rib"."""
CARDINALS = BEFORE_NUMBERS | _words(_COUNTED)
"""Words after which a number is no ordinal: "in segment 6. no effusion"."""
