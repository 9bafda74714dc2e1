"""Words that say what the number behind them is, in ten languages and a few more.

Where a type has no check digit, or a weak one, the words around it decide. The nearest label wins:
one of the type itself, one of another type, or one of the things that only look like data about
people (orders, versions, hashes). Languages: English, German, French, Spanish, Italian, Dutch,
Polish, Portuguese, Vietnamese, and Japanese, Chinese, Korean, Russian, Turkish for phones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hybrid_router.datapolicy.automaton import Automaton

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW = 72
"""Bytes before a candidate in which a label counts."""
AFTER = 20
"""Bytes behind it; only for a label of the very type, as in `123-45-6789 (SSN)`."""
VETO = 36
"""Bytes from the end of a label of another kind to the candidate, at most."""

OTHER = "other"

NATIONAL_IDS = frozenset(
    {
        "us-ssn", "uk-nino", "de-steuer-id", "fr-nir", "es-dni", "it-codice-fiscale", "nl-bsn",
        "pl-pesel", "br-cpf", "vn-cccd",
    }
)  # fmt: skip

# Words in angle brackets stand alone; others may be part of a longer word (`customerPhone`).
_WORDS: Mapping[str, tuple[frozenset[str], str]] = {
    "phone": (
        frozenset({"phone"}),
        "phone|mobile|<cell>|<cellphone>|<fax>|<tel>|<telf>|<tél>|<call>|<calling>|<dial>|<sms>|"
        "whatsapp|hotline|<ring>|<text me>|<reach me>|callback|msisdn|<mob>|telegram|viber|"
        "telefon|handy|<mobil>|rufnummer|anruf|rückruf|durchwahl|<ruf>|erreichbar|"
        "téléphone|portable|appel|joindre|joignable|"
        "teléfono|móvil|<movil>|celular|<cel>|llam|llám|"
        "cellulare|chiam|recapito|"
        "telefoon|mobiel|<gsm>|<bel>|<bellen>|bereikbaar|"
        "komórk|komork|zadzwo|dzwoni|<kom>|"
        "telefone|<fone>|ligar|<ligue>|<liga>|<contato>|telemóvel|"
        "điện thoại|dien thoai|<sđt>|<sdt>|<đt>|di động|<gọi>|liên hệ|hotline|zalo|"
        "電話|携帯|連絡先|电话|手机|联系|致电|전화|휴대|연락|тел|моб|звон|<cep>|<ara>|फोन|هاتف|جوال",
    ),
    "us_ssn": (
        frozenset({"us-ssn"}),
        "<ssn>|ssn_|_ssn|social security|social-security|socialsecurity|soc sec|<itin>|"
        "số an sinh xã hội|社会保障|ubezpieczenia społecznego usa|us-sozialversicherung",
    ),
    "social": (
        frozenset({"us-ssn", "fr-nir", "uk-nino"}),
        "sécurité sociale|securite sociale|seguridad social|seguro social|segurança social|"
        "previdenza sociale|sicurezza sociale|sozialversicherung|sociale zekerheid|"
        "burgerservice|ubezpieczenia społecznego|an sinh xã hội",
    ),
    "uk_nino": (
        frozenset({"uk-nino"}),
        "<nino>|national insurance|<ni number>|<ni no>|<ni>|nationalinsurance|ni_number",
    ),
    "de_steuer_id": (
        frozenset({"de-steuer-id"}),
        "steuer-id|steuerid|steuer id|steueridentifikation|steuerliche identifikation|"
        "identifikationsnummer|<idnr>|<tin>|<steuer-idnr>|steuernummer|steuer_id|tax id|<tax-id>|tax_id",
    ),
    "fr_nir": (frozenset({"fr-nir"}), "<nir>|<insee>|<n° ss>|<n°ss>|<nss>|carte vitale|<sécu>|numéro de sécu"),
    "es_dni": (frozenset({"es-dni"}), "<dni>|<nie>|<nif>|documento nacional|extranjero"),
    "it_codice_fiscale": (
        frozenset({"it-codice-fiscale"}),
        "codice fiscale|<cf>|<c.f.>|cod. fisc|cod.fisc|codfis|codicefiscale|codice_fiscale",
    ),
    "nl_bsn": (frozenset({"nl-bsn"}), "<bsn>|bsn_|_bsn|bsn-|burgerservicenummer|sofinummer|sofi-n"),
    "pl_pesel": (frozenset({"pl-pesel"}), "pesel"),
    "br_cpf": (frozenset({"br-cpf"}), "<cpf>|cpf_|_cpf|cadastro de pessoa"),
    "vn_cccd": (
        frozenset({"vn-cccd"}),
        "<cccd>|căn cước|can cuoc|<cmnd>|<cmt>|định danh|chứng minh nhân dân|<số cc>|cccd",
    ),
    "identity": (
        NATIONAL_IDS - {"us-ssn"},
        "national id|nationalid|national_id|identity|<id card>|<id number>|<id no>|citizen|personal id|"
        "ausweis|identité|identidad|identità|identiteit|tożsamości|identidade|giấy tờ|"
        "身分証|身份证|マイナンバー",
    ),
    "payment_card": (
        frozenset({"payment-card"}),
        "<card>|credit card|creditcard|card number|<pan>|<visa>|mastercard|amex|kreditkarte|"
        "kartennummer|carte bancaire|<cb>|tarjeta|carta di credito|creditcard|<karta>|karty|"
        "cartão|<thẻ>|số thẻ|カード|银行卡|信用卡",
    ),
    "iban": (frozenset({"iban"}), "iban|kontonummer|bankverbindung|rachunk"),
    "ip": (frozenset({"ipv4", "ipv6"}), "<ip>|ip_|_ip|<ips>|<ipv4>|ip address|<host>|<peer>|<addr>|địa chỉ ip"),
    OTHER: (
        frozenset(),
        "<order>|order_|order-|ordernumber|orderid|<orders>|invoice|ticket|tracking|<ref>|"
        "reference|<sku>|isbn|<issn>|<ean>|<upc>|<gtin>|<asin>|<part>|<serial>|serial_|<s/n>|"
        "<case>|case_|case-|transaction|<txn>|<batch>|<lot>|parcel|shipment|<commit>|<sha>|sha1|"
        "sha256|<hash>|<md5>|<uuid>|<guid>|<trace>|trace_|traceid|<span>|span_|request_id|"
        "requestid|request-id|timestamp|<epoch>|<ts>|<version>|version_|<ver>|<build>|<release>|"
        "<rev>|revision|<port>|<pid>|<bytes>|<size>|<duration>|<offset>|<checksum>|<code>|"
        "article|product|<item>|<sequence>|<seq>|<index>|<counter>|<metric>|<firmware>|<session>|"
        "customer number|customer no|customer id|customer_id|account_id|user_id|userid|<job>|"
        "bestell|rechnung|auftrag|sendung|vorgang|kundennummer|artikel|serien|<charge>|"
        "commande|facture|dossier|référence|colis|<suivi>|<suivie>|"
        "pedido|factura|seguimiento|referencia|<lote>|"
        "ordine|fattura|spedizione|riferimento|pratica|"
        "bestelling|bestel|factuur|zending|zaaknummer|<kenmerk>|"
        "zamówien|zamowien|faktur|przesyłk|<nr ref>|zgłoszeni|"
        "nota fiscal|rastreio|rastreamento|código de|protocolo|fatura|"
        "đơn hàng|hóa đơn|mã vận|mã đơn|mã số|phiên bản|"
        "注文|請求|追跡|订单|发票|快递|주문|заказ|накладн|版本|バージョン|версия",
    ),
}


def _words() -> list[tuple[str, bytes, bool]]:
    """Return (group, expression, whether a neighbour is part of the match) of every word."""
    found = []
    for group, (_, words) in _WORDS.items():
        for word in words.split("|"):
            alone = word[0] == "<"
            text = re.escape(word[1:-1] if alone else word).encode()
            found.append((group, b"[^a-z]%s[^a-z]" % text if alone else text, alone))
    return found


_words_list = _words()
_types = [_WORDS[group][0] for group, _, _ in _words_list]
_alone = [alone for _, _, alone in _words_list]
_automaton = Automaton([(expression, False) for _, expression, _ in _words_list])
_aside = re.compile(rb"\s*[(\[,\-/]|\s+\w{2,5}\W")
"""What joins a label to the number before it: `123-45-6789 (SSN)`, `0612345678, mobile`."""
_apart = re.compile(rb"\d[\d.]{3}|\n|[.!?;] [A-Za-z\x80-\xff]|\x00[^\x00]*\x00|\xe3\x80\x82")
"""Another number, or the end of a line or sentence: what stands before it vetoes nothing."""


@dataclass(frozen=True, slots=True)
class Label:
    """The nearest label before a candidate."""

    types: frozenset[str]
    """What it names; empty for things that are none of ours."""
    vetoes: bool
    """It stands near enough, on the same line, and no other number lies between."""


def _labels(text: bytes) -> list[tuple[int, int]]:
    """Return (end, word) of the labels in `text`, in order."""
    return sorted((end - _alone[id_], id_) for end, id_ in _automaton.ends(text))


def before(buffer: bytes, start: int) -> Label | None:
    """Return the nearest label before `start`."""
    window = buffer[max(0, start - WINDOW) : start].decode(errors="ignore").lower()
    text = f" {window} ".encode()
    found = _labels(text)
    if not found:
        return None
    end, id_ = found[-1]
    between = text[end:-1]
    near = len(between) <= VETO and not _apart.search(between)
    return Label(_types[id_], near)


def named_after(buffer: bytes, end: int, type_: str) -> bool:
    """Return whether a label of the type itself follows closely, on the same line."""
    window = buffer[end : end + AFTER].decode(errors="ignore").lower().partition("\n")[0]
    text = f" {window} ".encode()
    found = _labels(text)
    if not found or not _aside.match(text):
        return False
    return type_ in _types[found[0][1]]
