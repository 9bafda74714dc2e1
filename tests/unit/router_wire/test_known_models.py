"""What the table says of a local model reaches the classifier: per alias, and in the log."""

import io
import json

from hybrid_router.classify.identity import identity
from hybrid_router.telemetry.access import AccessLog
from tests.support.routers import backend, router, table
from tests.support.upstreams import Upstream

EXTRACT = [{"role": "user", "content": "Extract the invoice number as JSON: invoice 4711"}]


async def test_each_alias_is_judged_by_what_its_own_local_model_is_known_to_do():
    async with Upstream() as up, Upstream() as api:
        served = table({"local": backend(up.url), "api": backend(api.url, trust="external")})
        auto = served["models"]["auto"]
        served["models"]["plain"] = auto | {"priors": {"json-extraction": 0.54}}
        served["models"]["tuned"] = auto | {"priors": {"json-extraction": 0.97}}
        log = io.BytesIO()
        async with router(served, classifies=True, access_log=AccessLog(log)) as r:
            said = {
                alias: (await r.chat(alias, messages=EXTRACT)).headers
                for alias in ("auto", "plain", "tuned")
            }
            digest = identity(r.registry.table)[1]
    assert {alias: headers["x-hybrid-source"] for alias, headers in said.items()} == {
        "auto": "local",
        "plain": "api",
        "tuned": "local",
    }
    assert float(said["plain"]["x-hybrid-confidence"]) < 0.6
    assert said["auto"]["x-hybrid-confidence"] == said["tuned"]["x-hybrid-confidence"]
    logged = [json.loads(line)["classifier_model"] for line in log.getvalue().splitlines()]
    assert logged == [digest] * 3
