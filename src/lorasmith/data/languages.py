"""Which language a text is in: by its writing system, and by common little words where many languages share one.

It is small and exact enough for the mix of a dataset, not for single words. Word lists and letters are our own; the
alternatives need numpy (py3langid), 96 MB (lingua), or a compiler (gcld3), or are not deterministic (langdetect).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter

UNCLEAR = "unclear"
_LETTERS = 1000
_MOST_WORDS = 150
_FEW_WORDS = 3
_SHARE_OF_KNOWN_WORDS = 0.08
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SIGNED_WORD = re.compile(r"[^\s\d।۔،؟!?.,;:()\"«»]+")  # vowel signs and joiners are no letters to `re`

# Where writing systems begin in Unicode, and what is written in them. An empty name: no letters of interest.
_BLOCKS: list[tuple[int, str]] = [
    (0x41, "Latin"), (0x370, "Greek"), (0x400, "Cyrillic"), (0x530, "Armenian"), (0x590, "Hebrew"), (0x600, "Arabic"),
    (0x700, ""), (0x750, "Arabic"), (0x780, ""), (0x900, "Hindi"), (0x980, "Bengali"), (0xA00, "Punjabi"),
    (0xA80, "Gujarati"), (0xB00, "Odia"), (0xB80, "Tamil"), (0xC00, "Telugu"), (0xC80, "Kannada"), (0xD00, "Malayalam"),
    (0xD80, "Sinhala"), (0xE00, "Thai"), (0xE80, "Lao"), (0xF00, "Tibetan"), (0x1000, "Burmese"), (0x10A0, "Georgian"),
    (0x1100, "Korean"), (0x1200, "Amharic"), (0x13A0, ""), (0x1780, "Khmer"), (0x1800, ""), (0x1E00, "Latin"),
    (0x1F00, "Greek"), (0x2000, ""), (0x3040, "Japanese"), (0x3100, "Chinese"), (0x3130, "Korean"), (0x3190, ""),
    (0x31F0, "Japanese"), (0x3200, ""), (0x3400, "Chinese"), (0xA000, ""), (0xAC00, "Korean"), (0xD7B0, ""),
    (0xF900, "Chinese"), (0xFB00, ""), (0xFB50, "Arabic"), (0xFE00, ""), (0xFE70, "Arabic"), (0xFF00, ""),
    (0x20000, "Chinese"), (0x2FA20, ""),
]  # fmt: skip
_STARTS = [start for start, _ in _BLOCKS]

# Letters that one language of a writing system has and its neighbours have not, or hardly.
_MARKS = {
    "German": "ßäöü", "French": "çêèàœùî", "Spanish": "ñ¿¡", "Portuguese": "ãõç", "Polish": "łżśąęźćń", "Czech": "řěůčšž",
    "Hungarian": "őűáé", "Romanian": "șțşţăâ", "Turkish": "ğışöü", "Danish": "æøå", "Norwegian": "æøå", "Swedish": "åäö",
    "Finnish": "äö", "Croatian": "đčćšž", "Slovak": "ľĺŕôďťčšž",
    "Vietnamese": "đơưạảấầậắếềểệịọốồộớờợụứừựữễỗẩẫặẵẻẽỉĩỏủũỳỵỷỹ", "Catalan": "·ï",
    "Russian": "ыэё", "Ukrainian": "іїєґ", "Bulgarian": "ъ", "Serbian": "љњђћџј", "Belarusian": "ўіы",
    "Persian": "پچژگکی", "Urdu": "ٹڈڑےںہ", "Arabic": "ةىأإكي",
    "Marathi": "ळ",
}  # fmt: skip

_WORDS = {
    "English": "the of and to in is that it was for on are with as i his they be at have this from or had by not but what "
    "all were we when your can there an which their said if will would who has she you he how my do does did then them these "
    "about into than its our no more been because could should where why it's don't a me her him us write explain give",
    "German": "der die und das ist nicht ein eine zu den mit sich des auf für von im dem es ich auch als an nach wie sie er "
    "bei aus wir oder aber wenn nur noch werden wird sind war hat haben kann über einen einer einem eines zum zur durch dass "
    "was man sein ihre diese dieser wurde vom mehr so uns kein keine in am welche welcher wer warum wann wo schreibe nenne",
    "French": "le la les de des du et est un une que qui dans pour pas sur au avec ce il elle nous vous ne se plus par sont "
    "mais ou comme tout fait être été cette aux ses leur on je son sa même aussi bien peut sans entre ils elles ces deux "
    "c'est d'un d'une n'est qu'il quel quelle à en y pourquoi quand comment qui écris explique donne",
    "Spanish": "el la los las de del y es un una que en por para con no se su al lo como más pero sus le ya o este sí porque "
    "esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante uno ni contra ese eso había son "
    "fue ser está tiene qué cómo cuál yo quién dónde cuándo escribe explica",
    "Portuguese": "o a os as de do da dos das e é um uma que em no na nos nas por para com não se seu sua ao como mais mas foi "
    "ele ela são quando muito já eu também só pelo pela até isso entre depois sem mesmo aos ter seus quem esse está você tem "
    "uns umas qual à quanto onde escreva explique",
    "Italian": "il lo la i gli le di del della dei e è un una che in per con non si su al alla da sono come più ma anche suo "
    "sua nel nella dal dalla questo questa essere ha hanno quando molto perché tutti fra tra dove o se ci cosa degli delle "
    "ogni stato era dell'uomo gli quale qual chi perché scrivi spiega",
    "Dutch": "de het een en van is dat in te op voor met zijn niet aan er om ook als maar dan door over bij uit nog naar heeft "
    "hebben werd wordt worden deze dit die kan geen meer of tot je ik hij zij we wat hun onder wie wel was had zou mijn",
    "Swedish": "och att det i en är som på av för den med till inte om ett han men var jag sig från vi så kan när hade nu de "
    "man hon eller efter alla också mycket blev skulle ska har varje vad hur denna detta mellan utan mot ingen du",
    "Danish": "og at det i en er som på af for den med til ikke om et han men var jeg sig fra vi så kan når havde nu de man "
    "hun eller efter alle også meget blev skulle skal har hver hvad hvordan denne dette mellem uden mod ingen du bør hvor lige "
    "mig dig nogen være blevet hinanden",
    "Norwegian": "og at det i en er som på av for den med til ikke om et han men var jeg seg fra vi så kan når hadde nå de man "
    "hun eller etter alle også mye ble skulle skal har hver hva hvordan denne dette mellom uten mot ingen du bør hvor like "
    "meg deg noen være blitt hverandre",
    "Finnish": "ja on ei se että hän oli ovat mutta kun niin myös kuin joka mitä tai sen ole olla hänen minä sinä me he tämä "
    "tämän vain jos jo nyt mukaan kaikki sekä voi jotka hyvin vielä sitten miten missä koska ovat siitä heille onko kanssa",
    "Polish": "i w na z się nie do to że jest o jak po od za co przez dla ale czy są tak tylko jego jej ich być był była który "
    "która które oraz może ma go już bardzo przy pod tego tym lub ze we wszyscy swoim gdzie kiedy jako",
    "Czech": "a se v na je že to s z do o k i jako za by ale po jsou od pro jak tak co který která které nebo byl byla bylo jsem "
    "také být má mají jeho její ve však až při než není kde když všichni sobě podle mezi jen už si",
    "Slovak": "a sa v na je že to s z do o k aj ako za by ale po sú od pre tak čo ktorý ktorá ktoré alebo bol bola bolo som tiež "
    "byť má majú jeho jej vo však až pri než nie kde keď všetci sebe podľa medzi len už si",
    "Hungarian": "a az és hogy nem egy is van volt ez meg de csak már még mint ha vagy azt ezt el ki be fel minden aki ami akkor "
    "nagyon kell lesz szerint közötti között után által való mert én te ő mi ti ők olyan lehet",
    "Romanian": "și în de la cu pe nu este a că o un din care pentru mai se sunt sau ca au fost prin dar ce lui ei al ale fi "
    "după fără între toate toți când cum unde această acest eu el ea fiecare trebuie foarte",
    "Turkish": "ve bir bu için ile de da ne gibi daha çok olan olarak en kadar sonra var yok mi mı ama her o ben sen biz siz "
    "onlar değil veya ya ise şu nasıl neden olduğu bütün olur göre birbirlerine içinde tarafından",
    "Vietnamese": "và là của có được cho không một các trong người với này đã những để khi về ra đến từ như cũng nhiều phải "
    "tôi bạn ở làm nào đó rất hay vì nếu mọi sinh",
    "Indonesian": "yang dan di ini itu dengan untuk dari dalam tidak akan pada juga ke karena oleh ada adalah atau saya kami "
    "mereka dia bisa sudah anda lebih telah orang dapat sebagai seperti semua hanya para apa bagaimana kita antara harus",
    "Catalan": "el la els les de del dels i és un una que en per amb no es seu al com més però ja o aquest aquesta quan molt "
    "sense sobre també fins hi ha on qui des tot ens durant són va ser està té què jo nosaltres tots han d'una l'home",
    "Croatian": "i u na je se da su za od s o ne to kao ali što koji koja koje ili bio bila bilo sam također biti ima imaju "
    "njegov iz po kako samo vrlo gdje kada prema između svi sva jer već bi nije jedni drugima",
    "Russian": "и в не на что он с как это по но они к у из за от так для его все она было быть только мы я вы если или когда "
    "который которые есть был была были же бы еще ещё уже может при даже очень со того чтобы "
    "где о ее её их ты кто какой какая какое какие сколько почему зачем напиши объясни переведи",
    "Ukrainian": "і в не на що він з як це по але вони до у із за від так для його всі вона було бути тільки ми я ви якщо або "
    "коли який які є був була були ж би ще вже може при навіть дуже та того щоб де про її їх ти й хто який яка яке чому",
    "Bulgarian": "и в не на че той с как това по но те към у от за така за неговото всички тя беше да само ние аз вие ако или "
    "когато който които е са бил била били ще още вече може при дори много се си го му от един една до през какво кой коя кое",
    "Serbian": "и у на је се да су за од с о не то као али што који која које или био била било сам такође бити има имају "
    "његов из по како само врло где када према између сви сва јер већ би није једни другима треба",
    "Belarusian": "і ў не на што ён з як гэта па але яны да у із за ад так для яго усе яна было быць толькі мы я вы калі або "
    "які якія ёсць быў была былі ж бы яшчэ ужо можа пры нават вельмі таго каб дзе аб яе іх ты павінны",
    "Marathi": "व आहे आणि आहेत च्या ते ही हा होते नाही केले त्या मध्ये असून करून साठी",
    "Hindi": "है और हैं के की का में से को यह वह नहीं था थे पर लिए किया एक भी",
    "Persian": "و در به از که این است را با برای آن یک خود تا بر هم شد نیز می ها های",
    "Urdu": "اور کے کی میں ہے سے کا کو یہ ہیں نے پر کہ وہ ایک بھی نہیں تھا",
    "Arabic": "في من على أن إلى هذا التي الذي عن مع لا ما هو هي كان كل أو قد ذلك بين بعد و لم",
}  # fmt: skip
_SYSTEMS = {
    **dict.fromkeys(("Russian", "Ukrainian", "Bulgarian", "Serbian", "Belarusian"), "Cyrillic"),
    **dict.fromkeys(("Persian", "Urdu", "Arabic"), "Arabic"),
    **dict.fromkeys(("Marathi", "Hindi"), "Hindi"),
}


def _table(lists: dict[str, list[str]]) -> dict[str, dict[str, list[str]]]:
    """For each writing system, the languages that each word or letter speaks for."""
    table: dict[str, dict[str, list[str]]] = {}
    for language, entries in lists.items():
        for entry in dict.fromkeys(entries):
            table.setdefault(_SYSTEMS.get(language, "Latin"), {}).setdefault(entry, []).append(language)
    return table


_KNOWN_WORDS = _table({language: words.split() for language, words in _WORDS.items()})
_KNOWN_MARKS = _table({language: list(marks) for language, marks in _MARKS.items()})


def language_of(text: str) -> str:
    """The English name of the language that most of `text` is in, or UNCLEAR. Looks at the first thousand characters."""
    text = text[:_LETTERS]
    systems = Counter(name for char in text if char.isalpha() and (name := _system(char)))
    if not systems:
        return UNCLEAR
    if systems["Japanese"] and systems["Japanese"] + systems["Chinese"] > systems.total() / 2:
        return "Japanese" if 8 * systems["Japanese"] > systems["Chinese"] else "Chinese"
    system = max(systems, key=lambda name: systems[name])
    return _by_words(text, system) if system in _KNOWN_WORDS else system if system != "Latin" else UNCLEAR


def _system(char: str) -> str:
    place = bisect_right(_STARTS, ord(char)) - 1
    return _BLOCKS[place][1] if place >= 0 else ""


def _by_words(text: str, system: str) -> str:
    """A word or letter counts for each language that has it, the less the more languages that are."""
    pattern = _WORD if system in {"Latin", "Cyrillic"} else _SIGNED_WORD
    words = [word.replace("’", "'") for word in pattern.findall(text.lower())][:_MOST_WORDS]
    scores: dict[str, float] = {}
    known, marks = _KNOWN_WORDS[system], _KNOWN_MARKS.get(system, {})
    telling: dict[str, int] = {}
    for word in words:
        speakers = known.get(word, ())
        if speakers and len(word) > 1:
            telling[word] = 2 if len(speakers) == 1 and len(word) > 3 else 1
        for language in speakers:
            scores[language] = scores.get(language, 0) + (1 if len(word) > 1 else 0.2) / len(speakers)
        for letter in {*word} & marks.keys():
            telling[letter] = 1
            for language in marks[letter]:
                scores[language] = scores.get(language, 0) + 0.4 / len(marks[letter])
    ranked = sorted(scores, key=lambda language: -scores[language])
    if sum(telling.values()) < 2 or len(words) < _FEW_WORDS:  # one word, or names of variables
        return UNCLEAR
    best = scores[ranked[0]]
    second = scores[ranked[1]] if len(ranked) > 1 else 0.0
    if best < max(0.5, _SHARE_OF_KNOWN_WORDS * len(words)) or best == second:
        return UNCLEAR
    return ranked[0]


def mix_of(texts: list[str]) -> dict[str, float]:
    """The share of each language among texts, the most frequent first. Shares of UNCLEAR texts are named, too."""
    counts = Counter(language_of(text) for text in texts)
    return {language: count / len(texts) for language, count in counts.most_common()}
