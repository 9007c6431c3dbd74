"""What to do, by situation: remedies that fit every surface. Of several, the first whose facts are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REMEDIES: Final[Mapping[str, str | tuple[str, ...]]] = {
    "address_forbidden": "If it is meant to be on a private network, list that network in %(allow_in)s",
    "after_not_archived": "Check the archive; Concord retries automatically",
    "after_size": "Compare the message on the server with the archived one; move or delete it there yourself",
    "archive_damaged": (
        "Concord asks the mail server for the message again at the next poll; where the server has it no"
        " more, restore the object from a backup of the archive, and work resumes automatically"
    ),
    "archive_damaged.not_announced": "Nothing was stored; trying again reads the content again",
    "archive_damaged.other_bytes": "Compare it with a backup; if the stored one is damaged, move it away",
    "archive_damaged.two_contents": "",
    "archive_down": "Check the archive's disk or bucket; polling resumes automatically once it answers",
    "archive_down.io.absent": "Mount the disk that holds archive.path, or correct the setting",
    "archive_down.io.disk_fails": (
        "The disk fails: look at the kernel's log (journalctl -k) and replace it; work resumes automatically afterwards"
    ),
    "archive_down.io.disk_full": (
        "Free some space on the disk that holds archive.path; work resumes automatically afterwards"
    ),
    "archive_down.io.no_links": (
        "Put archive.path on a local file system that knows hard links, and give it to Concord's user"
    ),
    "archive_down.io.permission": (
        "Give the user that runs Concord the directory archive.path, mode 0700; work resumes automatically afterwards"
    ),
    "archive_down.io.quota": (
        "Raise the disk quota of the user that runs Concord; work resumes automatically afterwards"
    ),
    "archive_down.io.read_only": (
        "Mount the file system writable (it may have been remounted after a disk error); work resumes"
        " automatically afterwards"
    ),
    "archive_down.no_credentials": "Check archive.s3.access_key_id and archive.s3.secret_access_key",
    "archive_down.store_ca_file": "Put the certificate authority's file there, or correct archive.s3.ca_file",
    "archive_down.store_refuses": (
        "Check archive.s3.endpoint_url, the network, and that the object store runs; work resumes automatically"
    ),
    "archive_down.store_refuses.bucket": (
        "Create the bucket, or correct archive.s3.bucket (and archive.s3.path_style, where the store knows one style)"
    ),
    "archive_down.store_refuses.clock": "Set this machine's clock (timedatectl set-ntp true)",
    "archive_down.store_refuses.key": "Check archive.s3.access_key_id and archive.s3.secret_access_key",
    "archive_down.store_refuses.path_style": (
        "Set archive.s3.path_style = false: this store wants the bucket in the host name"
    ),
    "archive_down.store_refuses.quota": "Raise the bucket's quota or remove what is no longer needed",
    "archive_down.store_refuses.region": ("Set archive.s3.region and archive.s3.endpoint_url to those of the bucket"),
    "archive_down.store_refuses.rights": (
        "Check archive.s3.access_key_id and archive.s3.secret_access_key; allow that key to get, put, "
        "delete and list in the bucket (s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, "
        "s3:AbortMultipartUpload)"
    ),
    "archive_down.store_refuses.signature": (
        "Check archive.s3.access_key_id and archive.s3.secret_access_key; then archive.s3.region, and "
        "whether a proxy changes the host name"
    ),
    "archive_down.store_silent": (
        "Check archive.s3.endpoint_url, the network, and that the object store runs; work resumes automatically"
    ),
    "archive_down.store_tls": ("If the store has its own certificate authority, name its file in archive.s3.ca_file"),
    "archive_down.store_url": "Write archive.s3.endpoint_url as https://host or http://host:port",
    "archive_missing": (
        "Concord asks the mail server for the message again at the next poll; where the server has it no"
        " more, restore the object from a backup of the archive, and work resumes automatically"
    ),
    "archive_missing.never_archived.retrying": (
        "Its bytes are asked for again while it is not fetched; its trace says why they are not here"
    ),
    "audit_broken": (
        "Compare it with an earlier export, or with the journal (event audit.written), and find out who "
        "can write to the database"
    ),
    "before_start": "",
    "broker_crowded": (
        "Give the handler a Redis of its own (its option url), or have its stream or queue read and "
        "trimmed; the delivery resumes automatically once there is room (dispatch.broker_bytes)"
    ),
    "cannot_listen.admin": ("Stop what listens there ('ss -ltnp' names it), or correct admin.address and admin.port"),
    "cannot_listen.flower": (
        "Stop what listens there ('ss -ltnp' names it), or correct flower.address and flower.port"
    ),
    "claim_lost": "Nothing to do: the other worker processes it",
    "conflict.action_running": "Wait until it is done",
    "conflict.audit_verifying": "Ask again in some seconds",
    "conflict.handler_built_in": "Switch it off if nothing is to be sent to it",
    "conflict.handler_used": "Take it out of these rules first",
    "conflict.last_admin": "Make another user an admin first",
    "conflict.no_dry_run": "Begin again with the dry run",
    "conflict.oauth_client_used": "Give them another client, or a password, or remove them first",
    "conflict.rotation_running": "Wait until it has ended",
    "conflict.rules_changed": "Load the list again; then give every rule once",
    "conflict.toggle_running.unknown": "Try again in a minute",
    "conflict.too_many_tests": "Wait until one has ended; each takes a minute at most",
    "conflict.workflow_used": "Take it out of these rules first",
    "consent_failed.no_lasting_access": (
        "Ask for the scope offline_access; with Google, take Concord's access back at "
        "myaccount.google.com/permissions and sign in again"
    ),
    "consent_failed.no_mail_access": "Sign in again, and leave the box for mail ticked",
    "consent_failed.refused.busy": "",
    "consent_failed.refused.declined": "Sign in again and allow the access to mail",
    "consent_failed.refused.disabled": "Enable it there, then sign in again",
    "consent_failed.refused.policy": "Have an administrator of the organisation allow it, then sign in again",
    "consent_failed.refused.proof": (
        "Sign in again; if that does not help, have an administrator except Concord from the conditional access"
    ),
    "consent_failed.refused.scope": (
        "Give the application the permission for IMAP at the provider, then sign in again"
    ),
    "consent_failed.refused.trouble": "",
    "consent_failed.refused.unconsented": (
        "Have an administrator of the organisation consent to the application, then sign in again"
    ),
    "consent_failed.untrusted": "Begin the sign-in again; if it stays so, tell the provider's administrator",
    "consent_failed.untrusted.clock": "Try again; if it stays so, tell the provider's administrator",
    "copy": "",
    "daemon_failed.other_workers_noted": "",
    "daemon_failed.restart_failed": (
        "More of what it wrote: journalctl -u %(units)s",
        "More of what it wrote: %(log_files)s",
    ),
    "daemon_failed.restart_late": ("More of what it wrote: journalctl -u %(units)s", ""),
    "daemon_failed.start_failed": (
        "More of what it wrote: journalctl -u %(units)s",
        "More of what it wrote: %(log_files)s",
    ),
    "daemon_failed.start_late": ("More of what it wrote: journalctl -u %(units)s", ""),
    "daemon_failed.stop_failed": ("More of what it wrote: journalctl -u %(units)s", ""),
    "daemon_failed.stop_late": ("More of what it wrote: journalctl -u %(units)s", ""),
    "daemon_failed.workers_not_noted": "More of what it wrote: journalctl -u %(unit)s",
    "daemon_failed.workers_noted_late": "",
    "database_down": (
        "Check that the database runs and that database.url is right; work resumes automatically once it answers"
    ),
    "exists.oauth_client": "Take another name, or change that one",
    "exists.rule.rename": "Take another name",
    "exists.user": "Take another name, or change that one",
    "exists.workflow": "Take another name",
    "folder_renumbered": (
        "Nothing to do: the next poll reads the folder again and recognises known messages by their content"
    ),
    "forbidden": "Ask an admin for the role, or for a token with the scope, that it needs",
    "handler.answer_length": "",
    "handler.answer_no_http": "",
    "handler.answer_no_json": "",
    "handler.broker_down": "",
    "handler.dns_timeout": "",
    "handler.hung_up": "",
    "handler.no_address": "Check the spelling of the URL and this machine's DNS",
    "handler.no_answer": "",
    "handler.not_accepted": "",
    "handler.redirect_elsewhere": "If the receiver has moved, change the handler's url",
    "handler.redirect_loop": "",
    "handler.redirect_unusable": "",
    "handler.redis_full": "",
    "handler.slots_taken": "It is tried again in a moment; raise webhook.concurrency if it lasts",
    "handler.timeout": "It should answer first and work afterwards; 'timeout' may be raised",
    "handler.tls": "Its certificate must be valid, for this name, and signed by an authority this machine trusts",
    "handler.unexpected": "",
    "handler.unreachable": "Check that it is running",
    "handler_disabled": "Enable the handler; its deliveries go on at once",
    "handler_refused.package": "Repair or remove that package, restart the workers, then retry",
    "handler_refused.step_answer": "Repair the package that brings the step, then retry the run",
    "handler_refused.step_kind": ("Did you mean '%(near)s'?", "The kinds are %(known)s"),
    "handler_time_limit": (
        "Look into what the handler waits for; give it a time-out of its own, or raise "
        "dispatch.handler_time_limit. It may have done its work all the same: it is offered the same id "
        "again"
    ),
    "lease_lost": "Nothing to do: the poll that took over goes on from the cursor",
    "lookup_failed": "Check this machine's DNS and network, or type host and port yourself",
    "mail_too_big": "Download the raw mail and open it in a mail program",
    "mailbox_budget": "It will be polled when a connection is free; raise poll.connections_per_login if it lasts",
    "mailbox_denied.unsafe_login": (
        "Sign in to NetEase's webmail, allow IMAP and third-party clients there, and give the "
        "authorization code as the mailbox's password"
    ),
    "mailbox_denied.unsendable": "Type them again; a line break at the end of a password file is a common cause",
    "mailbox_dns": "Check the spelling of the host name and this machine's DNS",
    "mailbox_down": "Check the host, the port and the network; Concord keeps trying, ever more slowly",
    "mailbox_down.too_slow": "See whether the server is overloaded; a longer poll.budget gives it more time",
    "mailbox_forbidden": (
        "Correct the host name; if a mail server really is at that address, list its network in poll.allow_networks"
    ),
    "mailbox_protocol": (
        "Check that host and port are an IMAP server's and that the kind of TLS fits the port (993 "
        "implicit, 143 starttls)"
    ),
    "mailbox_quota": "Free some space in the mailbox",
    "mailbox_server": (
        "Look into the mail server's log, or ask its administrator; a folder may be damaged there. Concord keeps trying"
    ),
    "mailbox_throttled": ("Concord waits as long as asked; fewer connections or a longer interval help if it lasts"),
    "mailbox_throttled.not_connected": (
        "The login is right, but Microsoft gives no mailbox for it: it is throttled, or has no licence, "
        "or IMAP is switched off for it; Concord keeps trying"
    ),
    "mailbox_tls.handshake.cut": "Check that the port is one for TLS; 'starttls' is for port 143",
    "mailbox_tls.handshake.early": "Check this machine's clock",
    "mailbox_tls.handshake.expired": "Renew the certificate on the server",
    "mailbox_tls.handshake.name": "Use the host name that the certificate is for",
    "mailbox_tls.injected": "Somebody on the way may be changing the traffic: use implicit TLS with port 993",
    "mailbox_tls.no_starttls": "Use implicit TLS with port 993; without TLS the password is sent in clear",
    "mistakes": "Correct what is marked",
    "mistakes.import": "Correct them, or say 'keep_going' to import the others",
    "move_unfinished": (
        "Concord deletes the originals later and does not copy them again; check the mailbox's permissions"
    ),
    "not_found.action": "The admin service may have been started again since; the audit says what became of it",
    "not_found.attachment": "Look at the list of its attachments",
    "not_found.message.any_form": "Give its number, its Message-ID or its event's id",
    "out_of_time": "Nothing to do: it is processed with the next task",
    "oversized": "",
    "passwords_busy": "Try again in a moment",
    "proof_needed": "Type your own password with it; through the API use a token, or sign in again",
    "poll_budget": "Nothing to do: the next poll goes on where this one stopped",
    "poll_fault": (
        "This is a defect of Concord: report it with the traceback from the poll worker's log; Concord "
        "keeps trying, ever more slowly"
    ),
    "provider_down": (
        "Check this machine's network, DNS and clock, and the provider's status page; Concord keeps trying"
    ),
    "provider_down.endpoint_missing": "Ask the provider's administrator",
    "provider_down.no_answer.tls": (
        "Check this machine's clock; for a provider of your own, name its authority's file in oauth.ca_file"
    ),
    "queue_down": ("Check that Redis runs and that redis.url is right; the sweep queues again whatever was not queued"),
    "queue_down.nothing_restarted": "Check that Redis runs and that redis.url is right, then do this again",
    "queue_down.nothing_started": "Check that Redis runs and that redis.url is right, then do this again",
    "renumbered": "",
    "result_unproven": (
        "This is a defect of Concord's or of its database: report it with the worker's log; the messages wait"
    ),
    "rule": "",
    "schema": "Run 'concord db upgrade'",
    "schema.newer": "Upgrade Concord on this machine, or restore the backup made before the upgrade",
    "schema.upgrade_failed": (
        "Correct what the cause names, then try again: systemctl start concord-celery.target, or concord db upgrade"
    ),
    "handler_refused.own_name": "Take another name, or a Redis of the handler's own",
    "usage.queue_reserved": "Take another name, or a Redis of the handler's own",
    "secret_key": "Put the key in the credential file 'secret_key'; 'concord secrets init' makes a new one",
    "secret_key.daemons_closed": (
        "Put the right key file there; 'concord secrets status' shows which keys each daemon has"
    ),
    "secret_key.no_file": "Put it into the file that secret_key_file names, and take it out of the environment",
    "secret_key.other_database": (
        "Put back the key this database was made with, as the credential file 'secret_key', or copy that"
        " file from the host where 'concord secrets rotate' ran; where the key is lost, 'concord secrets"
        " forget' drops what only it could open"
    ),
    "secret_key.partial": (
        "Put the key that sealed them back as one more line of the key file, or give the secrets again"
    ),
    "secret_key.unknown_key": (
        "Copy the key file of the host where 'concord secrets rotate' ran to this host, then try again"
    ),
    "secret_key.wrong": "Put the key that sealed it back, as one more line of the key file",
    "session_lost": (
        "Concord fetches the messages there one by one from now on, and goes on behind one that ends the"
        " session; if it lasts, check the mail server's log"
    ),
    "settings": "Correct it and run 'concord config check'",
    "settings.credentials_missing": "Correct CONCORD_CREDENTIALS or create it",
    "settings.file_missing": "Correct CONCORD_CONFIG or create the file",
    "settings.file_unreadable": "Run it as root or as the user 'concord', or correct the file's owner and mode",
    "settings.flower_ascii": "Choose another one for the credential file 'flower__password'",
    "settings.log_directory": "Repair the file system, or unset log.directory",
    "settings.log_directory.absent": (
        "Create it for the daemons' user: install -d -m 0750 -o concord -g concord %(directory)s"
    ),
    "settings.log_directory.permission": (
        "Give it to the daemons' user: chown concord:concord %(directory)s, and the files in it"
    ),
    "settings.notify_socket": (
        "Make its directory, writable by the daemons' user, or set service.run_directory to another one"
    ),
    "settings.poll_interval": "Take it out, or put it into poll.json",
    "settings.unknown": (
        "Did you mean '%(near)s'?",
        "See deploy/concord.toml for every setting; then correct %(file)s",
    ),
    "settings.variable_unknown": ("Did you mean '%(near)s'?", "Unset it"),
    "settings.worker_no_type": 'Add "type": "mail", "type": "poll" or "type": "deliver"',
    "settings.worker_type": "Take its type out",
    "settings.worker_unreadable": "Correct the file, its owner and its mode",
    "sign_in_refused.present_password": "Type the password you signed in with",
    "spool_down": (
        "Free some space there, and give the directory poll.spool_directory to Concord's user; polling "
        "resumes automatically afterwards"
    ),
    "supervisor_down": "Check that systemd's D-Bus (/run/dbus/system_bus_socket) or supervisord is there",
    "supervisor_down.none": "Install the package, or start supervisord; in a checkout: make run",
    "supervisor_down.supervisord": (
        "Start it: systemctl start concord-supervisor, or supervisord -c /etc/concord/supervisord.conf"
    ),
    "supervisor_refused": (
        "Run it as root, or as the user 'concord', whom the installed polkit rule allows Concord's own daemons"
    ),
    "token_refused.foreign_server": "Correct the account's host, or give it another OAuth2 client",
    "token_refused.no_token.declined": "Sign in again and allow the access to mail",
    "token_refused.no_token.disabled": "Enable it there, then sign in again",
    "token_refused.no_token.policy": "Have an administrator of the organisation allow it, then sign in again",
    "token_refused.no_token.proof": (
        "Sign in again; if that does not help, have an administrator except Concord from the conditional access"
    ),
    "token_refused.no_token.scope": (
        "Give the application the permission for IMAP at the provider, then sign in again"
    ),
    "token_refused.no_token.unconsented": (
        "Have an administrator of the organisation consent to the application, then sign in again"
    ),
    "too_many_attempts": "Wait that long, then try again",
    "too_much_memory": "If such messages are wanted, give the worker more memory",
    "too_slow": "If such messages are wanted, raise process.soft_time_limit and process.time_limit",
    "unaccounted": "",
    "unexpected": "This is a defect of Concord: report it with the traceback from the worker's log",
    "unknown_daemon.masked": (
        "The package concord-supervisor does that, and supervisord has the daemons then: set "
        "service.supervisor to 'auto', or remove that package"
    ),
    "unknown_daemon.name": ("Did you mean '%(near)s'?", "Name one of %(known)s"),
    "unknown_daemon.program": "",
    "unknown_daemon.settle_unit": "",
    "unknown_daemon.unit": "",
    "usage.account_key": ("Did you mean '%(near)s'?", "The keys are %(known)s"),
    "usage.account_name": "Choose another name",
    "usage.account_no_host": "Say it, for it has no default",
    "usage.account_no_name": "Say it, for it has no default",
    "usage.account_no_user": "Say it, for it has no default",
    "usage.account_value": "Correct that value",
    "usage.account_value.tls": "Write 'implicit' (port 993), 'starttls' (port 143) or 'none'",
    "usage.accounts_no_list": "Begin each with [[accounts]]",
    "usage.accounts_twice": "Rename or remove one",
    "usage.action": "Write account, or account.add",
    "usage.admin_restart_only": "Nobody could start it again from here; at a shell: systemctl stop concord-admin",
    "usage.after_folder": "Move to another folder, or take this one out of the folders",
    "usage.ca_file": "Give a file that Concord may read, with the authority's certificate in PEM form",
    "usage.ca_file_from_afar": "Choose an authority by its name, or paste its certificates in PEM form",
    "usage.ca_pem": "Paste the authority's certificates in PEM form: -----BEGIN CERTIFICATE----- and what follows",
    "usage.authority_twice": "Give the name of an authority, or certificates in PEM form, not both",
    "usage.authority_unknown": (
        "Did you mean '%(near)s'?",
        "The authorities are %(known)s",
        "Put its certificate as %(authority)s.pem into %(folder)s, or paste the certificate",
    ),
    "usage.ca_file_without_tls": "Leave the CA file out, or choose tls implicit or starttls",
    "usage.callback_address": "Copy all of it from the browser's address line: it has code=… and state=… in it",
    "usage.choice": "Choose one of the list",
    "usage.client_id": (
        "Copy it from the application's page at the provider; Microsoft calls it application (client) ID"
    ),
    "usage.client_secret": "Copy the secret's value from the provider, without spaces or line ends",
    "usage.column_missing": "The first line names the columns, of: %(known)s",
    "usage.column_unknown": ("Did you mean '%(near)s'?", "The columns are %(known)s"),
    "usage.cursor": "Take it from 'next' of the page before, unchanged",
    "usage.day": "Write it as 2026-01-31",
    "usage.file_no_accounts": "Add a line for each account below the header",
    "usage.file_no_csv": "Correct that line",
    "usage.file_no_mail": "Give a file that holds a whole mail",
    "usage.file_no_toml": "Correct it at the place named",
    "usage.file_no_utf8": "Save it as UTF-8",
    "usage.file_no_utf8.csv": "Save it as CSV in UTF-8",
    "usage.file_unreadable": "Correct the path or the file's mode",
    "usage.folders.nameless": "Name at least one folder, as INBOX, or '*' for all",
    "usage.folders.twice": "Name each folder once",
    "usage.forget_unconfirmed": "Say --yes, or run this at a terminal",
    "usage.handler_key": ("Did you mean '%(near)s'?", "The keys are %(known)s"),
    "usage.handler_kind": ("Did you mean '%(near)s'?", "The kinds are %(known)s"),
    "usage.handler_name": "Choose another name",
    "usage.handlers_twice": "Rename or remove one",
    "usage.header_condition": "Write it as 'List-Id:*news*'",
    "usage.header_condition.line": "Write it as 'List-Id: *news*'",
    "usage.header_line": "Write it as X-Team: sales",
    "usage.header_name": "Write the name alone, without colon or spaces: List-Id",
    "usage.header_no_value": "Type the value that is to be sent",
    "usage.header_twice": "Take one of them out",
    "usage.headers_elsewhere": "Type the values of the headers again, or take the headers out",
    "usage.host.brackets": "Write it without brackets",
    "usage.host.letters": "Correct the host name",
    "usage.host.port": "Give the host alone, and the port as the port",
    "usage.host.url": "Give the host name alone",
    "usage.idempotency_key": "Give 1 to 255 characters, a UUID say",
    "usage.import_name_taken": "Take another name",
    "usage.interval": "Give a number of seconds within them; most providers want 60 or more",
    "usage.issuer": "Give an address that begins with https://, without ?, # or a login",
    "usage.issuer_missing": "Give the address below which .well-known/openid-configuration lies",
    "usage.json_object": "",
    "usage.key_file_not_made": "Choose a folder that can be written",
    "usage.key_file_unchanged": "Run this as the user that owns it, in a folder that can be written",
    "usage.key_place": (
        "Give --file FILE, set secret_key_file in the configuration, or name the folder in CONCORD_CREDENTIALS"
    ),
    "usage.list_empty": "Choose a file, or write a line for each account below the header",
    "usage.list_no_accounts": "Add a line for each account below the header",
    "usage.list_no_utf8": "Save it as CSV in UTF-8",
    "usage.lock": "Look at that file",
    "usage.lock.no_directory": "Make it, or name another as service.run_directory",
    "usage.lock.permission": "Run it as root or as the user 'concord'",
    "usage.logs_follow": "Without --follow, the last lines are shown",
    "usage.mail_address": "Write it as name@example.com",
    "usage.mail_user": "Give the login name, often the whole mail address",
    "usage.message_id_ambiguous": "Give the number of the one that is meant",
    "usage.name_twice": "Keep one of them",
    "usage.no_boolean": "Write true or false",
    "usage.no_json": "",
    "usage.no_user": "Run it as another user",
    "usage.nul": "Leave U+0000 out",
    "usage.number": "",
    "usage.number_great": "",
    "usage.number_small": "",
    "usage.oauth_app_only": (
        "That takes a client with a secret, of Microsoft or of a provider of your own; else sign in"
    ),
    "usage.oauth_client_name": "Letters, digits, spaces and . @ + - _, 64 at most",
    "usage.option_missing": ("Give '%(option)s'; the options of '%(kind)s' are %(known)s", "Give '%(option)s'"),
    "usage.option_no_json": "Correct the JSON",
    "usage.option_no_pair": "Write it as --option url=https://…",
    "usage.option_unknown": (
        "Did you mean '%(near)s'?",
        "The options of '%(kind)s' are %(known)s",
        "'%(kind)s' takes no options",
    ),
    "usage.options_no_object": 'Write them in braces, as {"colour": "green"}',
    "usage.pair": "Write concurrency=4",
    "usage.password_elsewhere": (
        "Enter the password again, together with the other server, login, kind of connection or certificate authority"
    ),
    "usage.password_empty": "Give the mailbox's password, or an app password",
    "usage.password_lines": "Give the password alone; only one line end after it is taken off",
    "usage.password_missing": "Name a file that holds it with password_file, or a variable with password_env",
    "usage.password_weak": "Take 12 characters or more; a few words that do not belong together are good",
    "usage.password_with_oauth": "Leave the password out, or take 'password' as the kind of login",
    "usage.passwords_differ": "Type the new password twice the same",
    "usage.pattern_empty": "Use * for any value, re:^$ for an empty one, or leave the condition out",
    "usage.pattern_invalid": "Correct what follows 're:', or leave 're:' out to use * and ?",
    "usage.pattern_long": "Write a shorter one",
    "usage.pattern_repeats": "Write smaller numbers between { and }, or use * or +",
    "usage.plain_text": "Choose TLS, or say explicitly that clear text is meant",
    "usage.polkit_rule": "Run it as root",
    "usage.port": "Usually it is 993 with implicit TLS, 143 with STARTTLS",
    "usage.program_file": "Run it as root or as the user 'concord'",
    "usage.programs_not_taken": "",
    "usage.redis_elsewhere": (
        "Set 'requirepass' there, and write the address with the password to the credential file 'redis__url'"
    ),
    "usage.redis_forgets": (
        "Start Redis with a configuration file that it may write, or set 'requirepass' there yourself and write the "
        "address with the password to the credential file 'redis__url'"
    ),
    "usage.redis_has_password": "",
    "usage.redis_named": "Take %(variable)s out of the environment, then run the command again",
    "usage.redis_no_folder": (
        "Make /etc/concord/credentials (mode 0700, of Concord's user), or name a directory in CONCORD_CREDENTIALS"
    ),
    "usage.redis_shared": (
        "Give Concord a Redis of its own, or repeat the command with --shared and give them the password"
    ),
    "usage.redis_secret": (
        "Give the same address as in the option url, with user and password: redis://:PASSWORD@HOST:6379/0"
    ),
    "usage.replay_messages": "Give their numbers, or --account, --since, --until, not both",
    "usage.replay_messages.choice": "Choose a mailbox, a time or words, or single messages",
    "usage.retry_deliveries": "Give their numbers, or --all-dead, not both",
    "usage.retry_messages": "Give their numbers, or --all-quarantined, not both",
    "usage.row_number": "Go back and choose again",
    "usage.row_unusable": "",
    "usage.rule_handler": ("Did you mean '%(near)s'?", "Add the handler first; known: %(known)s"),
    "usage.rule_key": ("Did you mean '%(near)s'?", "The keys are %(known)s"),
    "usage.rule_name": "Choose another name",
    "usage.rule_position": "Give one nearer to 0",
    "usage.rule_trial_mail": "Give --file, or --message, not both",
    "usage.rule_workflow": ("Did you mean '%(near)s'?", "Add the workflow first; known: %(known)s"),
    "usage.rules_twice": "Rename or remove one",
    "usage.scopes": "Separate them by spaces; leave them out for the usual ones",
    "usage.secret_elsewhere": "Give the secret again, together with the other provider, issuer or client id",
    "usage.secret_file": "Correct the path or the file",
    "usage.secret_from_machine": (
        "Write it under '%(word)s'; only 'concord apply' and imports at the command line read files"
    ),
    "usage.secret_in_file": "Put it into a file of its own (mode 0600), and name that file with %(word)s_file",
    "usage.secret_no_text": "Put it in quotation marks",
    "usage.secret_no_utf8": "Check what is piped in",
    "usage.secret_not_made": "Give a secret, or have one made",
    "usage.secret_twice": "Keep one of them",
    "usage.secret_useless": "Leave the secret out",
    "usage.secret_variable": "Set it in the environment, or use %(word)s_file",
    "usage.section_no_list": "Begin each entry with [[%(section)s]]",
    "usage.section_unknown": ("Did you mean '%(near)s'?", "The sections are %(known)s"),
    "usage.series": ("Did you mean '%(near)s'?", "See GET /api/v1/numbers/series"),
    "usage.size_negative": "Give it in octets, or as 10MB",
    "usage.size_range": "Make 'larger' the lower limit and 'smaller' the upper one",
    "usage.size_too_big": "Give a smaller one",
    "usage.span_empty": "Give an earlier 'since' or a later 'until'",
    "usage.span_unclear": "Give either 'span' or 'since'",
    "usage.start_future": "Give a past day, or 'new' for mail from now on",
    "usage.step_key": ("Did you mean '%(near)s'?", "The keys are %(known)s"),
    "usage.step_kind": ("Did you mean '%(near)s'?", "The kinds are %(known)s"),
    "usage.step_name": "Choose another name",
    "usage.step_name_twice": "Give one of them another name",
    "usage.stream_key_reserved": "Take another key, such as concord:events",
    "usage.tenant": "Give the directory (tenant) ID, or the organisation's domain at Microsoft",
    "usage.time": "Write 2026-01-31, 2026-01-31T09:30, 2026-01-31T09:30+08:00, or 90m, 2h, 7d for so long ago",
    "usage.time_span": "Give a --since that is before --until",
    "usage.token_days": "Give 1 to 3650 days",
    "usage.token_elsewhere": "Add a new mailbox for the other server, and sign in there",
    "usage.token_no_name": "Say what it is for, so that it can be told from others",
    "usage.token_no_scope": "Give it at least one: read, say",
    "usage.token_scopes": "Leave these scopes out, or ask somebody who has them",
    "usage.too_many_workers": "Remove one, or give one more concurrency",
    "usage.too_many_workers.remove": "Remove some",
    "usage.unit_link": "Run it as root",
    "usage.user_name": "Letters, digits and . @ + - _, no spaces, 64 at most; a mail address will do",
    "usage.value": "",
    "usage.worker_key": ("Did you mean '%(near)s'?", ""),
    "usage.worker_kind": "",
    "usage.worker_name": "Begin with a letter; small letters, digits and underscores, 31 at most",
    "usage.worker_unwritable": "Run it as root",
    "usage.workflow_key": ("Did you mean '%(near)s'?", "The keys are %(known)s"),
    "usage.workflow_long": "Let one step do more, or make two workflows",
    "usage.workflow_name": "Choose another name",
    "usage.workflows_twice": "Rename or remove one",
    "worker_stopped": "Nothing to do: it is processed once a worker runs",
    "wrong_archive": (
        "Mount the disk that holds archive.path, or correct archive.path, archive.s3.bucket and "
        "archive.s3.prefix; if this is the right archive, say so with 'concord archive adopt'"
    ),
    "wrong_archive.nothing_known.adopting": (
        "Mount the right disk, or correct the setting; where the former archive is lost for good, "
        "'concord archive adopt --even-lacking' goes on without it"
    ),
}
