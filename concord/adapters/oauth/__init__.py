"""Signing in at OAuth2 providers: where to send a browser, what its code is good for, and new tokens for old ones."""

from concord.adapters.oauth.sign_ins import ProviderSignIns

__all__ = ["ProviderSignIns"]
