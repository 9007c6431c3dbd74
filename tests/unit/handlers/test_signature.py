"""Signatures (P8), against the reference vector of Standard Webhooks."""

from __future__ import annotations

import pytest

from concord.errors import UsageError
from concord.handlers.signature import Signer
from concord.wording import english

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
BODY = b'{"test": 2432232314}'
EXPECTED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_reference_vector_is_signed_as_published() -> None:
    headers = Signer.parse(SECRET).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": EXPECTED,
    }


def test_a_secret_without_its_prefix_is_the_same() -> None:
    assert Signer.parse(SECRET.removeprefix("whsec_")) == Signer.parse(SECRET)


def test_each_of_several_secrets_signs_during_rotation() -> None:
    both = Signer.parse(f"{OTHER} {SECRET}").headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)

    first, second = both["webhook-signature"].split(" ")
    assert first != second == EXPECTED


@pytest.mark.parametrize(
    ("secret", "cause"),
    [
        ("", "it is empty"),
        ("whsec_not*base64", "not base64"),
        ("whsec_c2hvcnQ=", "24 to 64 octets"),
        ("whsec_" + "QUFB" * 30, "24 to 64 octets"),
    ],
)
def test_a_malformed_secret_is_refused_unshown(secret: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        Signer.parse(secret)

    assert cause in english.explain(caught.value)
    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in english.explain(caught.value)


def test_keys_do_not_show_in_a_representation() -> None:
    assert "MfKQ" not in repr(Signer.parse(SECRET))
    assert repr(Signer.parse(SECRET).keys[0]) not in repr(Signer.parse(SECRET))
