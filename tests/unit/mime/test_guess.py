"""Guesses at octets without a label: right for the usual text of each charset, and never called certain."""

from __future__ import annotations

import pytest

from concord.mime import guess


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("latin-1", "où êtes-vous? Déjà vu à l'école"),
        ("latin-1", "¿Qué tal? Mañana será otro día"),
        ("latin-1", "Übergröße für Mädchen"),
        ("latin-1", "Café"),
        ("latin-1", "äöü"),
        ("cp1252", "“Quoted” – 5 €"),
        ("gbk", "订单确认"),
        ("gbk", "会议纪要（2026年）"),
        ("gbk", "尊敬的用户，您的订单已发货，请注意查收。"),
        ("gbk", "登录成功 order 2024"),
        ("big5", "您好"),
        ("big5", "會議通知：請查收附件"),
        ("cp932", "注文確認のお知らせ"),
        ("cp932", "テスト"),
        ("euc_kr", "주문 확인 메일입니다"),
        ("cp1251", "Здравствуйте, Иван Иванович!"),
        ("koi8_r", "Заказ подтверждён"),
        ("iso2022_jp", "会議のお知らせ"),
    ],
)
def test_usual_text_is_recognised(codec: str, text: str) -> None:
    assert guess.text(text.encode(codec)) == (text, False)


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_certain(codec: str) -> None:
    assert guess.text("Grüße 你好".encode(codec)) == ("Grüße 你好", True)


def test_long_text_is_judged_by_its_beginning() -> None:
    text = "您好，这是一封测试邮件。\n" * 10_000

    assert guess.text(text.encode("gbk")) == (text, False)
