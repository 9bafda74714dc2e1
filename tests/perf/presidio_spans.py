"""presidio beside this project: `{"text"}` a line in, `{"spans", "seconds"}` a line out.

Runs in an environment of its own: `PYTHON presidio_spans.py MODEL`. Types get this project's
names; what it has no name for (persons, places, dates, sites) is left out, to presidio's good.
"""

import json
import sys
import time

NAMES = {
    "CREDIT_CARD": "payment-card",
    "EMAIL_ADDRESS": "email",
    "ES_NIE": "es-dni",
    "ES_NIF": "es-dni",
    "IBAN_CODE": "iban",
    "IT_FISCAL_CODE": "it-codice-fiscale",
    "PHONE_NUMBER": "phone",
    "PL_PESEL": "pl-pesel",
    "UK_NINO": "uk-nino",
    "US_SSN": "us-ssn",
}


def main() -> None:
    """Answer line by line."""
    from presidio_analyzer import AnalyzerEngine  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import NlpEngineProvider  # noqa: PLC0415

    models = [{"lang_code": "en", "model_name": sys.argv[1]}]
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    engine = AnalyzerEngine(nlp_engine=provider.create_engine())
    engine.analyze("warm up", language="en")
    for line in sys.stdin:
        text = json.loads(line)["text"]
        before = time.process_time()
        found = engine.analyze(text, language="en")
        seconds = time.process_time() - before
        spans = []
        for each in found:
            name = NAMES.get(each.entity_type)
            if each.entity_type == "IP_ADDRESS":
                name = "ipv6" if ":" in text[each.start : each.end] else "ipv4"
            if name is not None:
                spans.append({"type": name, "start": each.start, "end": each.end})
        sys.stdout.write(json.dumps({"spans": spans, "seconds": seconds}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
