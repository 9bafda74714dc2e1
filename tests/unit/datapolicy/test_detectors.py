"""What is found, and what only looks like it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_router.datapolicy.automaton import Automaton
from hybrid_router.datapolicy.scanner import BUILT_IN, Scanner
from hybrid_router.datapolicy.views import FOLDS
from hybrid_router.table import TYPES
from tests.support.personal_data.score import score
from tests.support.personal_data.texts import HELD_OUT, SEEN, labelled
from tests.support.personal_data.values import CHECKED, SECRETS

SCANNER = Scanner(TYPES)
FOLDING = Automaton([(each, False) for each in FOLDS])

FOUND = [
    ("email", 'Reply-To: "Ana" <ana.maria@correo.es>;'),
    ("email", "mailto:bob@x.io?subject=hi"),
    ("email", "user%40example.com"),
    ("email", r"mail john\u0040example.com now"),
    ("email", r"mail john\uff20example.com now"),
    ("payment-card", r'{"n": "4111\u00a01111\u00a01111\u00a01111"}'),
    ("payment-card", r'{"n": "4111\u20111111\u20111111\u20111111"}'),
    ("payment-card", r'{"n": "4111\u200b1111\u200b1111\u200b1111"}'),
    ("payment-card", r"\uff14" + r"\uff11" * 15),
    ("phone", r'{"t": "+49\u00a030\u00a01234567"}'),
    ("iban", r'{"t": "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000"}'),
    ("email", "john [at] example [dot] com"),
    ("email", "メールはkim@cty.com.vnです"),
    ("email", "joe@bücher.de"),
    ("email", "Schreib an jürgen.groß@müller-söhne.de!"),
    ("email", "用户@例子.公司"),
    ("email", "пишите: иван.петров@почта.рф"),
    ("email", "liên hệ: kim@tênmiền.vn."),
    ("phone", "Ring me on 07700 900123 tomorrow"),
    ("phone", "Call 1-800-555-0199"),
    ("phone", "Phone: 5551234567"),
    ("phone", "tel:+4915123456789"),
    ("phone", "Tel.: +43 1 5012345-10"),
    ("phone", "+55 (11) 98765-4321"),
    ("phone", "Telefone: 11987654321"),
    ("phone", "Handy 0171-1234567"),
    ("phone", "Fax: 089/123456-78"),
    ("phone", "téléphone fixe 01.23.45.67.89"),
    ("phone", "tel. 22 123 45 67"),
    ("phone", "SĐT: 0987654321"),
    ("phone", "電話 090-1234-5678"),
    ("phone", '{"phone_number": "0612345678"}'),
    ("phone", "tel:\\n0612345678"),
    ("phone", "mój numer 601234567"),
    ("phone", "contact number 9876543210"),
    ("us-ssn", "social security number: 219099999"),
    ("us-ssn", "219-09-9999 (SSN)"),
    ("uk-nino", "NINO: AB 12 34 56 C"),
    ("uk-nino", "ni number ab123456c"),
    ("de-steuer-id", "IdNr. 86095742719"),
    ("fr-nir", "NIR 1 84 12 76 451 089 46"),
    ("es-dni", "12.345.678-Z"),
    ("es-dni", "NIE X1234567L"),
    ("it-codice-fiscale", "rssmra85t10a562s"),
    ("nl-bsn", '{"bsn": 123456782}'),
    ("pl-pesel", "44051401359"),
    ("br-cpf", "cpf: 52998224725"),
    ("vn-cccd", "căn cước công dân 001 203 012 345"),
    ("payment-card", "card=6011111111111117;"),
    ("payment-card", "3782 822463 10005"),
    ("payment-card", "4111 1111 1111\n1111"),
    ("payment-card", "4111 1111 1111\r\n  1111"),
    ("payment-card", "4111  1111  1111  1111"),
    ("payment-card", "4111\t1111\t1111\t1111"),
    ("payment-card", '{"note": "4111 1111\\n1111 1111"}'),
    ("payment-card", "4111111111111111/12/27"),
    ("payment-card", "4111 1111 1111 1111/12/27"),
    ("payment-card", "4111 1111 1111 1111 123"),
    ("payment-card", "4111 1111 1111 1111.Danke"),
    ("payment-card", "Nr.4111111111111111"),
    ("payment-card", "card_4111111111111111_old"),
    ("payment-card", "2024 4111 1111 1111 1111"),
    ("payment-card", "4111 1111 1111 1111 2027"),
    ("payment-card", "4111_1111_1111_1111"),
    ("payment-card", "4111/1111/1111/1111"),
    ("payment-card", "card=4111+1111+1111+1111&cvc=737"),
    ("payment-card", "4111 **1111** 1111 1111"),
    ("payment-card", "`4111` `1111` `1111` `1111`"),
    ("payment-card", "| 4111 | 1111 | 1111 | 1111 |"),
    ("payment-card", "| card | 3782 | 822463 | 10005 |"),
    ("payment-card", "4111\u00a0\u00a01111 \u00a01111\u00a01111"),
    ("payment-card", "5000 0000 0000 0000 005"),
    ("payment-card", "my card: 4111-1111 1111-1111"),
    ("iban", "gb29 nwbk 6016 1331 9268 19"),
    ("iban", "FR14 2004 1010 0505 0001 3M02 606"),
    ("iban", "IBAN DE89 3704 0044 0532\n0130 00"),
    ("iban", "DE89  3704\t0044  0532\t0130  00"),
    ("iban", "DE89 3704 0044 0532 0130 00/COBADEFFXXX"),
    ("iban", "DE89_3704_0044_0532_0130_00"),
    ("iban", "| DE89 | 3704 | 0044 | 0532 | 0130 | 00 |"),
    ("iban", "DE89 **3704** 0044 0532 0130 00"),
    ("ipv4", "from 8.8.8.8."),
    ("ipv6", "[::1]:80"),
    ("ipv6", "2001:db8::/32"),
    ("ipv6", "::ffff:10.1.2.3"),
    ("password", "Passwort lautet: Geheim#2024"),
    ("password", "pass: S3cretPw!"),
    ("password", "token=abcd1234efgh5678"),
    ("password", "La contraseña es Verano2024*"),
]
NOTHING = [
    "npm i @types/node@20.1.0 lodash@4.17.21 react@next",
    "git@github.com:acme/app.git logo@2x.png",
    "Built 2026-11-25 18:04:08 +0100",
    "ratio 1.234.567 and 12 345 678",
    "lat 52.520008, lon 13.404954",
    "ISBN 978-3-16-148410-0 and 0-306-40615-2",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "epoch 1732557848 1732557848123 1732557848123456789",
    "order #4111-2222-33 shipped, Ref 20261125-000123",
    "tracking 1Z999AA10123456784 and JD014600003828392818",
    "v10.15.7 Chrome/115.0.0.0 Safari/537.36",
    "app-1.2.3.4.tar.gz, foo==1.2.3.4, ^1.2.3.4",
    "EAN 4006381333931 UPC 036000291452",
    "std::vector<std::string> a::b::c; 12:34:56; 00:1A:2B:3C:4D:5E",
    "Customer no. 123456789; Kundennummer 987654321",
    "Order 123456782 (valid 11-proof)",
    "Bestellung 12345678Z",
    "Invoice no. 603-91-0720 is open",
    "SSN format is XXX-XX-XXXX; 000-12-3456 666-12-3456 900-12-3456",
    "1234567890123456 4111111111111112",
    "| 4512 | 1200 | 3307 | 8810 |\n| 4513 | 1201 | 3308 | 8811 |",
    "Revenue 2020 2021 2022 2023: 5100 5200 5300 5400",
    "DE88 4111 1111 1111 1111 00",  # a card's digits, in a mistyped IBAN
    "key ABCD-4111-1111-1111-1111",
    "0.4111111111111111 and 1.4111111111111111",
    "4111 1111\n\nApril 1111 1111",
    "参见 @张三 和 user@例子",
    "password = getpass.getpass() ; pwd=${PWD} ; api_key=<your-key>",
    '"password": "********"',
    "max_tokens=4096, next token: 12345678, the token: abc",
    "sk-learn sk-something-short",
]


@pytest.mark.parametrize(("type_", "text"), FOUND)
def test_found(type_, text):
    assert [span.type for span in SCANNER.scan(text)] == [type_]


@pytest.mark.parametrize("text", NOTHING)
def test_not_found(text):
    assert SCANNER.scan(text) == []


def test_every_detector_finds_a_type_that_a_policy_can_name():
    assert {detector.type for detector in BUILT_IN} == TYPES


@pytest.mark.parametrize(("seed", "families"), [(11, SEEN), (12, HELD_OUT)])
def test_quality_on_texts_of_ten_languages(seed, families):
    def find(text):
        return [(span.type, span.start, span.end) for span in SCANNER.scan(text)]

    result = score(find, labelled(seed, 400, families))
    assert result.precision() >= 0.97, result.faults
    assert result.recall() >= 0.98, result.faults
    assert result.negatives_hit <= 0.03 * result.negatives, result.faults
    for type_ in CHECKED:
        assert result.f1(type_) >= 0.99, (type_, result.faults)


@pytest.mark.parametrize(("type_", "text"), FOUND)
def test_the_same_is_found_beside_other_scripts_and_far_behind_prose(type_, text):
    before = "Żółw said that the order is on its way, and more of it. " * 40
    spans = SCANNER.scan(f"{before}\n\n{text}\n\n日本")
    assert [(span.type, span.start > len(before)) for span in spans] == [(type_, True)]


@pytest.mark.parametrize("before", ["", "1\u00a02 ", "a\\u0040b "])
def test_a_key_that_is_cut_off_ends_with_the_text(before):
    whole = SECRETS["private-key"](Random(1))  # noqa: S311  nobody's key
    text = before + whole[: len(whole) // 2]
    spans = [(span.type, span.start, span.end) for span in SCANNER.scan(text)]
    assert spans == [("private-key", len(before), len(text))]


@given(st.text(st.characters(max_codepoint=127)))
def test_no_ascii_text_is_folded(text):
    assert FOLDING.ends(text.encode()) == []
