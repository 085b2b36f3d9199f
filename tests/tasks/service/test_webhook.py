"""A webhook is sent JSON whatever is in the event, and a wrong address is refused without being repeated."""

import json
from types import SimpleNamespace

import pytest
from prefect.server.utilities.user_templates import render_user_template_sync

from domains.errors import UserError
from tasks.service import webhook


@pytest.mark.parametrize(
    "url", ["", "hooks.example.org/x", "ftp://h/x", "http://", "http:///x", "https://h:99999/x", "http://h/a b", "a\nb"]
)
def test_an_address_that_is_not_of_the_web_is_refused_without_being_repeated(url):
    with pytest.raises(UserError, match="ACCLIMATE_WEBHOOK is not an address that begins with http") as refusal:
        webhook.ensure_webhook(url)
    assert len(url) < 8 or url not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "https://hooks.example.org/T0/B0?key=secret", "http://[::1]:80"]
)
def test_web_addresses_are_taken(url):
    webhook.check_url(url)


@pytest.mark.parametrize("name", webhook.AUTOMATIONS)
def test_the_body_is_json_whatever_is_in_the_event(name):
    hostile = 'a "quoted" <b>{{ 1 }}</b>\n\\'
    payload = {"domain": hostile, "version": "3", "reason": hostile}
    resource = Resource({"prefect.resource.name": hostile, "prefect.state-name": "Crashed"})
    event = SimpleNamespace(event="e", resource=resource, payload=payload)
    body = json.loads(render_user_template_sync(webhook._payload(webhook.AUTOMATIONS[name][2]), {"event": event}))
    assert body["event"] == "e"
    assert body["payload"] == payload
    assert hostile in body["text"]


class Resource(dict):
    id = "acclimate.domain.hpo"
