"""What an inspection finds in constructed data, what of it is fatal, and how rows are shown token by token."""

from __future__ import annotations

import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
from rich.console import Console
from tests import lessons
from tests.conftest import write_rows
from tests.unit.test_render import with_template

from lorasmith.cli.render_data import inspection
from lorasmith.core.errors import NotFoundProblem
from lorasmith.data.duplicates import Contents, NearRows
from lorasmith.data.examples import Example
from lorasmith.data.findings import Tally, fatal_findings, truncation
from lorasmith.data.inspect import inspect
from lorasmith.data.inspection import Inspection
from lorasmith.data.languages import UNCLEAR, language_of, mix_of
from lorasmith.data.load import open_source
from lorasmith.data.page import page_of
from lorasmith.data.render import TokenRow, render_rows
from lorasmith.data.sample import _decoded, sample_row, visible
from lorasmith.data.tokenizer import ALPACA, CHATML, load_tokenizer

WORDS = [f"w{number:x}" for number in random.Random(0).sample(range(16**5), 4000)]


def inspected(path: Path, rows: list, tokenizer=None, **options) -> Inspection:
    return inspect(open_source(write_rows(path / "d.jsonl", rows)), tokenizer, **options)


def codes(found: Inspection, level: str = "warning") -> set[str]:
    return {finding.code for finding in found.findings if finding.level == level}


def sentence(rng: random.Random, length: int) -> list[str]:
    return rng.choices(WORDS, k=length)


# --- copies ---


@pytest.mark.parametrize(("length", "least"), [(20, 0.97), (40, 1.0), (200, 1.0)])
def test_rows_that_differ_in_one_word_are_near_copies_and_unrelated_ones_are_not(length, least):
    """DAT-2"""
    rng, near = random.Random(length), NearRows()
    for _ in range(200):
        words = sentence(rng, length)
        near.add(" ".join(words))
        words[rng.randrange(length)] = "another"
        near.add(" ".join(words).upper() + "!")
    groups = near.groups()
    assert sum(groups[2 * i + 1] == 2 * i for i in range(200)) >= least * 200
    assert [groups[2 * i] for i in range(200)] == [2 * i for i in range(200)]


def test_rows_that_share_half_of_their_words_are_no_copies():
    """DAT-2: a long instruction that is always the same does not make rows the same."""
    rng, near = random.Random(1), NearRows()
    shared = sentence(rng, 40)
    for _ in range(300):
        near.add(" ".join(shared + sentence(rng, 60)))
    assert sum(head != number for number, head in enumerate(near.groups())) == 0


def test_near_copies_are_found_without_blanks_between_words_too():
    """DAT-2"""
    near = NearRows()
    for text in (
        "今天天气很好，我们一起去公园散步吧。",
        "今天天气很好，我们一起去公园跑步吧。",
        "人工智能正在改变世界各地的工作方式。",
    ):
        near.add(text)
    assert list(near.groups()) == [0, 0, 2]


def test_short_rows_are_near_copies_only_if_their_words_are_the_same():
    """DAT-2: sums differ in one number, and are different sums."""
    near = NearRows()
    for text in ("2 + 3?\n5", "2 + 4?\n6", "2 + 3\n5!", "???", "!!!"):
        near.add(text)
    for last in ("seven", "eight"):
        near.add(f"What is the sum of three and four? {last}")
    assert list(near.groups()) == [0, 1, 0, 3, 4, 5, 6]


def test_what_lies_beyond_the_limit_is_not_compared():
    """DAT-2"""
    contents = Contents(near_limit=3)
    for number in range(5):
        contents.add(Example(number + 1, text=f"one two three four five {'x' * (number // 4)}"))
    assert len(contents.near.groups()) == 3
    assert contents.copies().count == 3


def test_copies_are_counted_in_parts_of_large_files_as_in_the_whole(monkeypatch):
    """DAT-2"""
    rng = random.Random(2)
    numbers = [rng.randrange(500) for _ in range(1000)]
    told = []
    for part_rows in (2**20, 16):
        monkeypatch.setattr("lorasmith.data.duplicates._PART_ROWS", part_rows)
        contents = Contents(near_limit=0)
        for line, number in enumerate(numbers, 1):
            contents.add(Example(line, text=str(number)))
        told.append(contents.copies(few=3))
    assert told[0].count == told[1].count == 1000 - len(set(numbers))
    for first, second in told[0].pairs + told[1].pairs:
        assert numbers[int(first) - 1] == numbers[int(second) - 1]


def test_copies_contradictions_and_empty_answers_come_with_their_lines(tmp_path, tiny_llama):
    """DAT-2"""
    rows = [{"question": f"What is number {'x' * i}?", "answer": "It is so."} for i in range(10)]
    rows += [rows[0], {"question": "what is NUMBER?", "answer": "it is so"}]
    rows += [{"question": "What is number x?", "answer": "other"}, {"question": "Привет, как дела?", "answer": ""}]
    found = inspected(tmp_path, rows, load_tokenizer(tiny_llama), max_length=24)
    assert (found.num_rows, found.num_turns) == (14, 28)
    assert (found.copies.count, found.copies.pairs) == (1, [("1", "11")])
    assert (found.near_copies.count, found.near_copies.pairs) == (1, [("1", "12")])
    assert (found.conflicts.count, found.conflicts.pairs) == (1, [("2", "13")])
    assert found.num_empty_answers == 1
    assert next(finding for finding in found.findings if finding.code == "empty").places == ("14",)
    assert sum(count for _, count in found.histogram) == 14
    assert "copies 1 (lines 1 = 11) · near copies 1 (lines 1 = 12) · contradictions 1 (lines 2 = 13)" in shown(found)
    assert found.num_truncated > 0
    assert not found.fatal


# --- leaks ---


def test_validation_rows_that_the_rest_knows_are_counted(tmp_path):
    """DAT-2: the split is the one of training; exact copies stay on one side, near ones and asked twice need not."""
    rng = random.Random(3)
    plain = [{"question": " ".join(sentence(rng, 20)), "answer": " ".join(sentence(rng, 20))} for _ in range(200)]
    assert inspected(tmp_path, plain, eval_fraction=0.5).leaks.most == 0
    again = [{**row, "answer": " ".join(sentence(rng, 20))} for row in plain]
    same_question = inspected(tmp_path, plain + again, eval_fraction=0.5).leaks
    assert 60 < same_question.num_same_question < 140
    assert same_question.num_near_copies == 0
    near = [{**row, "question": row["question"] + " please"} for row in plain]
    near_copies = inspected(tmp_path, plain + near, eval_fraction=0.5)
    assert 60 < near_copies.leaks.num_near_copies < 140
    assert near_copies.leaks.num_same_question == 0
    assert near_copies.leaks.places
    assert "leaks" in codes(near_copies)
    assert inspected(tmp_path, plain + plain, eval_fraction=0.5).leaks.most == 0
    assert inspected(tmp_path, plain + near, eval_fraction=0).leaks.num_rows == 0
    thrice = [{**row, "question": f"{row['question']} {word}"} for row in plain for word in ("please", "now", "again")]
    few_held = inspected(tmp_path, plain + thrice, eval_fraction=0.2).leaks
    assert 0.9 * few_held.num_rows < few_held.num_near_copies <= few_held.num_rows < 250


def test_the_split_is_that_of_training(tmp_path, tiny_llama):
    """DAT-2, DAT-3"""
    from lorasmith.data.prepare import prepare

    source = open_source(
        write_rows(tmp_path / "d.jsonl", [{"prompt": f"q {i}", "completion": "a"} for i in range(300)])
    )
    options = {"eval_fraction": 0.2, "seed": 7}
    facts = prepare(source, load_tokenizer(tiny_llama), tmp_path / "d.arrow", objective="sft", **options)
    assert inspect(source, **options).leaks.num_rows == facts.num_validation


@pytest.mark.parametrize("slice_rows", [2**20, 3])
def test_rows_of_a_test_file_are_found_again(tmp_path, monkeypatch, slice_rows):
    """DAT-2: in slices of a large file as in the whole."""
    monkeypatch.setattr("lorasmith.data.leaks._SLICE_ROWS", slice_rows)
    rng = random.Random(4)
    train = [{"question": " ".join(sentence(rng, 20)), "answer": " ".join(sentence(rng, 20))} for _ in range(50)]
    test = [
        {"question": "a question of its own", "answer": "that is nowhere else"},
        train[7],
        {**train[8], "answer": "another answer, and much shorter than the right one is"},
        {"question": train[9]["question"] + " now", "answer": train[9]["answer"]},
    ]
    other = open_source(write_rows(tmp_path / "test.jsonl", test))
    found = inspected(tmp_path, train, other=other)
    assert found.against
    assert (found.against.num_rows, found.against.num_copies, found.against.num_same_question) == (4, 1, 2)
    assert found.against.num_near_copies == 2
    assert found.against.places == ["2", "3", "4"]
    assert any("'test.jsonl'" in warning for warning in found.warnings)


# --- languages ---

SENTENCES = {
    "English": "All human beings are born free and equal in dignity and rights.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "Spanish": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Portuguese": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos.",
    "Italian": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti.",
    "Dutch": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren.",
    "Swedish": "Alla människor är födda fria och lika i värde och rättigheter.",
    "Danish": "De er udstyret med fornuft og samvittighed, og de bør handle mod hverandre i en broderskabets ånd. Hvad mener du, og hvor er nogen af dem blevet af?",
    "Norwegian": "De er utstyrt med fornuft og samvittighet og bør handle mot hverandre i brorskapets ånd. Hva mener du?",
    "Finnish": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
    "Polish": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "Czech": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
    "Slovak": "Všetci ľudia sa rodia slobodní a sebe rovní, čo sa týka ich dôstojnosti a práv.",
    "Hungarian": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van.",
    "Romanian": "Toate ființele umane se nasc libere și egale în demnitate și în drepturi.",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền.",
    "Indonesian": "Semua orang dilahirkan merdeka dan mempunyai martabat dan hak-hak yang sama.",
    "Catalan": "Tots els éssers humans neixen lliures i iguals en dignitat i en drets.",
    "Croatian": "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Ukrainian": "Всі люди народжуються вільними і рівними у своїй гідності та правах.",
    "Bulgarian": "Всички хора се раждат свободни и равни по достойнство и права.",
    "Serbian": "Сва људска бића рађају се слободна и једнака у достојанству и правима.",
    "Belarusian": "Усе людзі нараджаюцца свабоднымі і роўнымі ў сваёй годнасці і правах.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "Arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "Persian": "تمام افراد بشر آزاد به دنیا می‌آیند و از لحاظ حیثیت و حقوق با هم برابرند.",
    "Urdu": "تمام انسان آزاد اور حقوق و عزت کے اعتبار سے برابر پیدا ہوئے ہیں۔",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Marathi": "सर्व मानवी व्यक्ती जन्मतःच स्वतंत्र आहेत व त्यांना समान प्रतिष्ठा व समान अधिकार आहेत.",
    "Bengali": "সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা এবং অধিকার নিয়ে জন্মগ্রহণ করে।",
    "Tamil": "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர்.",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。",
    "Georgian": "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_the_language_of_a_sentence_is_known(language):
    """DAT-2: the first article of the Universal Declaration of Human Rights; the second where the first tells too little."""
    assert language_of(SENTENCES[language]) == language


QUESTIONS = {
    "English": "What is the capital of France?",
    "German": "Wie viel kostet die Fahrkarte nach Berlin?",
    "French": "Quelle est la capitale de la France ?",
    "Spanish": "¿Cuál es la capital de Francia?",
    "Italian": "Qual è la capitale della Francia?",
    "Portuguese": "Qual é a capital da França?",
    "Dutch": "Wat is de hoofdstad van Frankrijk?",
    "Swedish": "Vad är huvudstaden i Frankrike?",
    "Polish": "Jaka jest stolica Francji?",
    "Czech": "Jaké je hlavní město Francie?",
    "Russian": "Какая столица Франции?",
    "Ukrainian": "Яка столиця Франції?",
    "Bulgarian": "Коя е столицата на Франция?",
    "Chinese": "法国的首都是哪里？",
}


@pytest.mark.parametrize("language", QUESTIONS)
def test_the_language_of_a_short_question_is_known(language):
    """DAT-2"""
    assert language_of(QUESTIONS[language]) == language


@pytest.mark.parametrize(
    "text", ["", "42", "Paris", "x = 3; y = 4", "qwertz asdf yxcv bnm", "def f(k, n):\n    for i in range(k): n += i"]
)
def test_what_shows_no_language_is_called_unclear(text):
    """DAT-2"""
    assert language_of(text) == UNCLEAR


def test_the_mix_tells_questions_from_answers(tmp_path):
    """DAT-2: what is to be translated is asked in one language and answered in another."""
    rows = [{"question": QUESTIONS["English"] + f" {i}", "answer": SENTENCES["German"]} for i in range(900)]
    rows += [{"question": QUESTIONS["English"] + f" {i}", "answer": SENTENCES["Chinese"]} for i in range(900, 1000)]
    found = inspected(tmp_path, rows)
    assert found.question_languages == {"English": 1.0}
    assert found.languages == pytest.approx({"German": 0.9, "Chinese": 0.1}, abs=0.01)
    assert mix_of([]) == {}


# --- findings ---


def test_what_would_spoil_a_training_is_fatal(tmp_path, tiny_llama):
    """DAT-2"""
    rows = [{"question": "q", "answer": "long " * 40}] * 5
    tokenizer = load_tokenizer(tiny_llama)
    assert codes(inspected(tmp_path, rows, tokenizer), "fatal") == set()
    assert codes(inspected(tmp_path, rows, tokenizer, max_length=50), "fatal") == {"cut"}
    endless = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    never = inspected(tmp_path, rows, load_tokenizer(with_template(tmp_path / "n", tiny_llama, endless)))
    assert codes(never, "fatal") == {"unended"}
    assert "never learn to stop" in never.fatal[0]
    doubled = load_tokenizer(with_template(tmp_path / "b", tiny_llama, "{{ bos_token }}{{ bos_token }}" + CHATML))
    assert codes(inspected(tmp_path, rows, doubled), "fatal") == {"doubled"}
    once = load_tokenizer(with_template(tmp_path / "o", tiny_llama, "{{ bos_token }}" + CHATML))
    assert codes(inspected(tmp_path, rows, once), "fatal") == set()


def test_nothing_to_learn_is_fatal_only_if_it_is_so_in_all_rows(tiny_llama):
    """DAT-2"""
    tokenizer, example = load_tokenizer(tiny_llama), Example(1, [{"role": "user", "content": "q"}])
    tally = Tally(tokenizer)
    tally.add(example, TokenRow([5, 6, 7], [], 1))
    assert [finding.code for finding in fatal_findings(tally)] == ["unlearnt"]
    tally.add(example, TokenRow([5, 6, tokenizer.eos_id], [(1, 3)], 1))
    assert fatal_findings(tally) == []


@pytest.mark.parametrize(("cut", "level"), [(20, "warning"), (21, "fatal")])
def test_more_than_a_fifth_of_answers_cut_is_fatal_unless_allowed(cut, level):
    """DAT-2: --allow-truncation goes on."""
    assert truncation(100, cut, 64)[0].level == level
    assert truncation(100, cut, 64, allowed=True)[0].level == "warning"
    assert truncation(100, 0, 64) == []


def test_an_answer_among_several_that_is_cut_counts(tiny_llama):
    """DAT-2: what is cut is known from cutting, not from the number of tokens to learn."""
    tokenizer = load_tokenizer(tiny_llama)
    tally = Tally(tokenizer, max_length=20)
    spread = TokenRow(list(range(100)), [(20, 22), (50, 52), (80, 82)], 1)
    tally.add(Example(3), spread)
    assert (tally.counts["truncated"], tally.counts["cut"], tally.places["cut"]) == (1, 1, ["3"])


def test_an_unknown_role_is_fatal_by_name_and_line(tmp_path, tiny_llama):
    """DAT-2"""
    good = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    bad = {"messages": [{"role": "narrator", "content": "q"}, {"role": "assistant", "content": "a"}]}
    found = inspected(tmp_path, [good, bad, good, bad], load_tokenizer(tiny_llama))
    assert codes(found, "fatal") == {"role"}
    assert "2 rows are of an unknown role: 'narrator' (line 2)" in found.fatal[0]
    (tmp_path / "folder").mkdir()
    write_rows(tmp_path / "folder" / "b.jsonl", [good, bad])
    folder = inspect(open_source(tmp_path / "folder"))
    assert "'narrator' (b.jsonl:2)" in folder.fatal[0]


def test_a_file_without_a_usable_row_is_fatal(tmp_path):
    """DAT-2"""
    found = inspected(tmp_path, [{"question": "q", "nonsense": 1, "answer": []}])
    assert codes(found, "fatal") == {"unusable"}
    assert found.num_bad_rows == 1


def test_a_row_that_the_template_refuses_is_a_bad_row_and_the_others_are_read(tmp_path, tiny_llama):
    """DAT-2, DAT-4"""
    strict = (
        "{% for m in messages %}{% if 'forbidden' in m['content'] %}{{ raise_exception('not that') }}{% endif %}"
        + CHATML[len("{% for message in messages %}") :].replace("message[", "m[")
    )
    rows = [{"question": f"q{i}", "answer": "forbidden" if i in (3, 70) else "a"} for i in range(100)]
    found = inspected(tmp_path, rows, load_tokenizer(with_template(tmp_path / "s", tiny_llama, strict)))
    assert (found.num_rows, found.num_bad_rows) == (98, 2)
    assert [line for line, _ in found.bad_rows] == [4, 71]
    assert "not that" in found.bad_rows[0][1]
    assert "bad" in codes(found)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"question": f"q{i}", "answer": "yes"} for i in range(60)], "same-answer"),
        ([{"question": f"q{i}", "answer": " a"[i % 2 :] + str(i)} for i in range(60)], "blank"),
        ([{"question": f"q{i}", "answer": f"br\ufffdken {i}"} for i in range(60)], "damaged"),
        ([{"question": f"q{i}<|im_end|>", "answer": f"a{i}"} for i in range(60)], "marks"),
        ([{"question": f"q{i}", "answer": f"{i}"} for i in range(10)], "few"),
        ([{"question": f"q{i % 50}", "answer": "same"} for i in range(100)], "copies"),
        ([{"question": f"q{i}", "answer": ""} for i in range(60)], "empty"),
        ([{"messages": [{"role": r, "content": f"{i}"} for r in ("user", "assistant", "user")]} for i in range(60)], "unanswered"),
    ],
)  # fmt: skip
def test_odd_data_is_warned_of(tmp_path, tiny_llama, rows, code):
    """DAT-2"""
    tokenizer = load_tokenizer(tiny_llama)
    sane = [{"question": f"What is {i} and {i}?", "answer": f"It is {2 * i}"} for i in range(60)]
    assert codes(inspected(tmp_path, sane, tokenizer)) == set()
    found = inspected(tmp_path, rows, tokenizer)
    assert code in codes(found)


def test_what_a_template_drops_is_told(tmp_path, tiny_llama):
    """DAT-2"""
    rows = [{"instruction": f"q{i}", "output": f"a{i}", "system": "Be brief."} for i in range(60)]
    dropping = CHATML.replace(
        "{% for message in messages %}", "{% for message in messages if message['role'] != 'system' %}"
    )
    tokenizer = load_tokenizer(with_template(tmp_path / "d", tiny_llama, dropping))
    assert "system" in codes(inspected(tmp_path, rows, tokenizer))
    assert "system" not in codes(inspected(tmp_path, rows, load_tokenizer(tiny_llama)))
    without = [{"question": f"q{i}", "answer": "a"} for i in range(60)]
    assert "system" not in codes(inspected(tmp_path, without, tokenizer))
    untemplated = load_tokenizer(with_template(tmp_path / "u", tiny_llama, ""))
    seamless = [{"prompt": f"{i} =", "completion": f"{i}"} for i in range(60)]
    assert "seam" in codes(inspected(tmp_path, seamless, untemplated))
    assert "seam" not in codes(
        inspected(tmp_path, [{**row, "prompt": row["prompt"] + " "} for row in seamless], untemplated)
    )


def test_preferences_tools_and_pictures_are_counted_and_shown(tmp_path, tiny_llama):
    """DAT-2: chosen and rejected side by side."""
    found = inspected(
        tmp_path, [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no"} for i in range(3)], load_tokenizer(tiny_llama)
    )
    assert found.holds == {"preferences": 3}
    assert found.sample
    assert found.sample.rejected
    assert "yes" not in "".join(piece.text for piece in found.sample.rejected.pieces)
    assert re.search(r"chosen.*yes.*rejected.*no", shown(found), re.DOTALL)
    assert page_of(found, "d").count('class="tag">rejected') == 3
    (tmp_path / "a.png").write_bytes(b"not looked into")
    pictures = inspected(tmp_path, [{"file_name": "a.png", "label": "cat"}] * 2, load_tokenizer(tiny_llama))
    assert pictures.holds == {"pictures": 2}
    assert "media" in codes(pictures)
    assert pictures.unit == "characters"
    assert "picture a.png · class cat" in shown(pictures)
    (tmp_path / "b.png").write_bytes(b"neither")
    two = inspected(tmp_path, [{"file_name": name, "label": "cat"} for name in ("a.png", "b.png")])
    assert (two.copies.count, two.near_copies.count, "media" in codes(two)) == (0, 0, False)


# --- rows token by token ---


def test_pieces_put_together_are_the_text_and_carry_the_ids(tiny_llama):
    """DAT-2: blanks stand where they stood, and a character of several tokens is one piece."""
    tokenizer = load_tokenizer(tiny_llama)
    chat = [{"role": "user", "content": "  Two  & 二 🎉\n"}, {"role": "assistant", "content": " ñ "}]
    example = Example(1, chat)
    ids = render_rows([example], tokenizer)[0].ids
    row = sample_row(example, tokenizer)
    assert "".join(piece.text for piece in row.pieces) == tokenizer.encoder.decode(ids, skip_special_tokens=False)
    assert [number for piece in row.pieces for number in piece.ids] == ids
    assert "🎉" in [piece.text for piece in row.pieces]
    assert "".join(piece.text for piece in row.pieces if piece.learnt) == " ñ <|im_end|>"
    assert {piece.text for piece in row.pieces if piece.special} == {"<|im_start|>", "<|im_end|>"}


def test_blanks_at_the_start_of_tokens_are_kept(tiny_llama):
    """DAT-2: decoders in the way of sentencepiece drop a blank where a text begins."""
    encoder = tokenizers.Tokenizer(tokenizers.models.WordLevel({"▁a": 0, "▁b": 1}, unk_token="▁a"))  # noqa: S106
    encoder.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    encoder.decoder = tokenizers.decoders.Metaspace()
    tokenizer = replace(load_tokenizer(tiny_llama), encoder=encoder)
    assert [text for _, text in _decoded([0, 1, 1], tokenizer)] == ["a", " b", " b"]


def test_what_falls_away_is_marked_and_long_rows_are_shown_in_part(tiny_llama):
    """DAT-2"""
    tokenizer = load_tokenizer(tiny_llama)
    example = Example(1, [{"role": "user", "content": "ab " * 2000}, {"role": "assistant", "content": "yes"}])
    row = sample_row(example, tokenizer, max_length=100)
    assert row.num_tokens - row.num_cut == 100
    assert not any(piece.cut for piece in row.pieces if piece.learnt)
    assert sum(len(piece.ids) for piece in row.pieces if piece.cut) == 1900
    assert row.num_hidden == row.num_tokens - 2000
    assert sum(len(piece.ids) for piece in row.pieces) == 2000
    assert f"{row.num_hidden:,} tokens more" in shown(
        Inspection("x", [], "tokens", num_rows=1, samples=[row], histogram=[(1, 1)])
    )


def shown(found: Inspection, *, colours: bool = False, num_rows: int = 1) -> str:
    out = Console(
        file=io.StringIO(),
        width=200,
        highlight=False,
        force_terminal=colours,
        color_system="truecolor" if colours else None,
    )
    inspection(out, found, num_rows=num_rows)
    return out.file.getvalue()


def test_without_colour_brackets_tell_what_is_learnt(tmp_path, tiny_llama):
    """DAT-2"""
    found = inspected(tmp_path, [{"question": "a b", "answer": "c\nd"}], load_tokenizer(tiny_llama))
    assert "<|im_start|>user\na b<|im_end|>\n<|im_start|>assistant\n⟦c\nd<|im_end|>⟧\n" in shown(found)


def test_in_colour_tokens_blanks_and_line_breaks_are_visible(tmp_path, tiny_llama):
    """DAT-2"""
    found = inspected(tmp_path, [{"question": "a b", "answer": "c\nd"}], load_tokenizer(tiny_llama))
    text = shown(found, colours=True)
    learnt = re.findall(r"\x1b\[38;2;11;61;36;48;2;(\d+);\d+;\d+m([^\x1b]*)", text)
    assert [shade for shade, _ in learnt[-3:]] != ["201"] * 3
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert "a·b<|im_end|>↵\n" in plain
    assert "c↵\nd" in plain


@pytest.mark.parametrize("colours", [True, False])
def test_nothing_in_the_data_steers_the_terminal(tmp_path, tiny_llama, colours):
    """SEC-6: control characters, C1 controls, marks of direction, rich's markup; in rows, names of fields and reasons."""
    evil = "\x1b[2J\x9b2J\x07\u202e[red]x[/red]\r"
    rows = [{"question": evil, "answer": evil, evil: 1}, {"question": evil}]
    found = inspected(tmp_path, rows, load_tokenizer(tiny_llama))
    text = re.sub(r"\x1b\[[\d;]*m", "", shown(found, colours=colours))
    assert not set(text) & set("\x1b\x9b\x07\u202e\r")
    assert "[red]x[/red]" in text
    assert visible("\ud800\x7f\u2028") == "\ufffd\u2421\ufffd"


def test_the_page_is_one_file_without_scripts_whatever_the_data_says(tmp_path, tiny_llama):
    """DAT-2, SEC-6"""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)></i></style>&\x00\ud83d"
    rows = [{"question": evil, "answer": f"\"'><b>{evil}", evil: 1}] * 3 + [{"question": evil}]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row).replace("\\ud83d", "") + "\n" for row in rows))
    for tokenizer in (load_tokenizer(tiny_llama), None):
        page = page_of(inspect(open_source(path), tokenizer, max_length=64), evil)
        page.encode()
        assert set(re.findall(r"<(?!/)([a-z0-9]+)", page)) <= {
            "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "section", "div", "b", "span", "ul", "li",
            "small", "svg", "rect", "line", "text", "table", "tr", "th", "td", "i", "u", "header",
        }  # fmt: skip
        assert "default-src 'none'" in page
        assert "http:" not in page.replace("http-equiv", "")
        assert not re.search(r"<[^>]*\son\w+=", page)
        assert "&lt;script&gt;" in page


def test_a_row_is_shown_by_its_line(tmp_path):
    """DAT-2"""
    rows = [{"question": f"q{i}", "answer": "a"} for i in range(50)]
    found = inspected(tmp_path, rows, lines=["31"])
    assert [row.place for row in found.samples] == ["31"]
    assert found.samples[0].messages[0]["content"] == "q30"
    with pytest.raises(NotFoundProblem, match="no row in line 51"):
        inspected(tmp_path, rows, lines=["51"])


def test_samples_come_evenly_from_the_whole_file(tmp_path):
    """DAT-2"""
    found = inspected(tmp_path, [{"question": f"q{i}", "answer": "a"} for i in range(1000)])
    lines = [int(row.place) for row in found.samples]
    assert len(lines) == 20
    assert lines[0] == 1
    assert max(b - a for a, b in zip(lines, [*lines[1:], 1001], strict=True)) < 120


def test_everything_goes_into_one_json_object(lorasmith, tmp_path, tiny_llama, sums):
    """DAT-2"""
    page = tmp_path / "page.html"
    done = lorasmith("data", "inspect", sums, "--model", tiny_llama, "--json", "--against", sums, "--html", page)
    found = json.loads(done.stdout)
    assert found["num_rows"] == 40
    assert found["against"]["num_copies"] == 40
    assert [piece["text"] for piece in found["samples"][0]["pieces"] if piece["learnt"]] == ["0", "<|im_end|>"]
    assert {finding["code"] for finding in found["findings"]} == {"few", "against"}
    assert page.read_text().startswith("<!doctype html>")
    nowhere = lorasmith("data", "inspect", sums, "--html", sums / "page.html", code=5)
    assert "cannot be written" in nowhere.stderr
    assert nowhere.stdout == ""


def test_alpaca_marks_are_seen_as_text(tmp_path, tiny_llama):
    """DAT-2: with another template, the row shows that template's words."""
    tokenizer = load_tokenizer(with_template(tmp_path / "a", tiny_llama, ALPACA))
    found = inspected(tmp_path, [{"question": "a", "answer": "b"}], tokenizer)
    assert "### Response:\n⟦b" in shown(found)


@pytest.mark.parametrize(
    ("data", "is_silent", "shown"),
    [
        ("objects", False, "boxes around even"), ("masks", False, "mask 0-mask.png"), ("labelled-pictures", False, "class dark"),
        ("layout", False, "4 words with their places"), ("images", True, "picture 0.png"),
    ],
)  # fmt: skip
def test_files_are_missed_a_text_only_where_nothing_else_is_to_be_learnt(data, is_silent, shown, tmp_path):
    """DAT-2: boxes, masks, classes and words are; a picture without boxes among others has nothing to be found."""
    path = lessons.DATASETS[data](tmp_path / "data")
    if data == "objects":
        lessons.picture(path.with_name("none.png"), 1)
        with path.open("a") as file:
            file.write(json.dumps({"file_name": "none.png", "objects": {"bbox": [], "category": []}}) + "\n")
    found = inspect(open_source(path))
    assert ("silent" in codes(found)) is is_silent
    assert shown in found.samples[0].about
