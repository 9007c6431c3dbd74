"""The words of the providers' presets, marked here for translation: the model they come from knows no gettext."""

from __future__ import annotations

from typing import Final

from concord.web.i18n import N_

# Names like Gmail are the same in every language.
WORDS: Final = (
    N_("QQ Mail"),
    N_("NetEase 163"),
    N_("Aliyun"),
    N_("Other IMAP server"),
    N_("Gmail wants an app password, made under Google Account > Security > 2-Step Verification"),
    N_("Microsoft 365 takes no passwords over IMAP any more, only OAuth2"),
    N_("Yahoo wants an app password, made under Account Security"),
    N_("iCloud wants an app-specific password, made under Apple Account > Sign-In and Security"),
    N_("QQ Mail wants an authorisation code (授权码), made in its settings under Account"),
    N_("NetEase wants an authorisation code (授权码), made in its settings under POP3/SMTP/IMAP"),
    N_("Aliyun wants a client security password (三方客户端安全密码), made in its settings under Account"),
    N_("Fastmail wants an app password with IMAP access"),
)
SAME_EVERYWHERE: Final = ("Gmail", "Microsoft 365", "Yahoo", "iCloud", "Fastmail")
