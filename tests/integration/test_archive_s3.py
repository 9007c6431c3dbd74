"""What only an object store can do wrong: refuse, be away, break off, keep something else than it was sent."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import pytest
from pydantic import SecretStr

from concord.adapters.archive_s3 import S3Archive
from concord.adapters.archive_s3_client import S3Connection
from concord.errors import ArchiveDamagedError, ArchiveDownError
from concord.settings import S3Settings
from concord.wording import english
from tests.fakes.blobs import blob
from tests.servers.redis import free_port
from tests.servers.s3 import S3Door

SECRET = "a-secret-that-must-not-be-told"


def changed(settings: S3Settings, **changes: object) -> S3Settings:
    return settings.model_copy(update=changes)


@pytest.fixture
def through_door(s3_bucket: S3Settings, s3_door: S3Door) -> S3Archive:
    """An archive behind the door that already knows its store."""
    archive = S3Archive(changed(s3_bucket, endpoint_url=f"http://127.0.0.1:{s3_door.port}", read_timeout=1))
    archive.check()
    s3_door.requests = 0
    return archive


def test_a_fresh_object_costs_one_request(through_door: S3Archive, s3_door: S3Door) -> None:
    through_door.put([blob("one", b"content")])

    assert s3_door.requests == 1
    assert s3_door.hesitations == 0


def test_a_store_that_is_busy_is_asked_again(through_door: S3Archive, s3_door: S3Door) -> None:
    """P11."""
    s3_door.fail("503", times=2)

    through_door.put([blob("one", b"content")])

    assert s3_door.requests == 3
    assert through_door.read("one") == b"content"


@pytest.mark.parametrize("fault", ["503", "hang"])
def test_a_store_that_stays_away_is_down(through_door: S3Archive, s3_door: S3Door, fault: str) -> None:
    """O6."""
    s3_door.fail("503" if fault == "503" else "hang", times=3)

    with pytest.raises(ArchiveDownError) as caught:
        through_door.put([blob("one", b"content")])

    assert "archive.s3.endpoint_url" in english.remedy(caught.value)
    assert s3_door.requests == 3


def test_an_answer_cut_halfway_is_down_not_damage(through_door: S3Archive, s3_door: S3Door) -> None:
    stored = blob("one", b"content" * 1000)
    through_door.put([stored])
    s3_door.fail("cut")

    with pytest.raises(ArchiveDownError):
        through_door.read("one", sha256=stored.sha256)

    s3_door.fail("cut")
    with through_door.open("one") as stream, pytest.raises(ArchiveDownError):
        stream.read(8000)


def test_an_upload_whose_answer_was_lost_is_recognised(through_door: S3Archive, s3_door: S3Door) -> None:
    # The first request is stored, its answer never arrives; the second one finds the key taken, by itself.
    s3_door.fail("lost")

    through_door.put([blob("one", b"content")])

    assert through_door.read("one") == b"content"


def test_octets_changed_on_the_way_are_not_kept(through_door: S3Archive, s3_door: S3Door) -> None:
    """P4."""
    s3_door.fail("spoil")

    with pytest.raises(ArchiveDownError):
        through_door.put([blob("one", b"content")])

    assert through_door.stat("one") is None


def test_a_store_with_other_etags_is_read_back(through_door: S3Archive, s3_door: S3Door) -> None:
    s3_door.fail("etag")

    through_door.put([blob("one", b"content")])

    assert s3_door.requests == 2
    assert through_door.read("one") == b"content"


def test_a_failed_big_upload_leaves_no_parts(s3_bucket: S3Settings, tmp_path: Path) -> None:
    big = blob("big", b"x" * (11 * 1024 * 1024), file=tmp_path / "big")
    (tmp_path / "big").write_bytes(b"y" * (11 * 1024 * 1024))

    with pytest.raises(ArchiveDamagedError):
        S3Archive(s3_bucket).put([big])

    client = S3Connection(s3_bucket).client
    assert client.list_multipart_uploads(Bucket=s3_bucket.bucket).get("Uploads", []) == []


def test_an_object_without_metadata_is_recognised(s3_bucket: S3Settings) -> None:
    """O8: what a restore by other means brought back is as good as the original."""
    S3Connection(s3_bucket).client.put_object(Bucket=s3_bucket.bucket, Key="restored", Body=b"content")
    archive = S3Archive(s3_bucket)

    archive.put([blob("restored", b"content")])

    with pytest.raises(ArchiveDamagedError):
        archive.put([blob("restored", b"CONTENT")])


def test_a_repair_looks_at_the_octets_not_at_what_the_store_says_of_them(s3_bucket: S3Settings) -> None:
    part = blob(f"parts/{hashlib.sha256(b'content').hexdigest()}", b"content")
    archive = S3Archive(s3_bucket)
    metadata = {"sha256": part.sha256}
    S3Connection(s3_bucket).client.put_object(Bucket=s3_bucket.bucket, Key=part.key, Body=b"rotten!", Metadata=metadata)

    archive.repair(part)

    assert archive.read(part.key, sha256=part.sha256) == b"content"
    (aside,) = archive.keys("damaged/")
    assert archive.read(aside) == b"rotten!"


def test_one_bad_object_does_not_hide_in_a_batch(s3_bucket: S3Settings) -> None:
    archive = S3Archive(s3_bucket)
    archive.put([blob("raw/7", b"taken")])

    with pytest.raises(ArchiveDamagedError):
        archive.put([blob(f"raw/{number}", b"%d" % number) for number in range(20)])


def test_prefixes_keep_archives_apart(s3_bucket: S3Settings) -> None:
    one, two = S3Archive(changed(s3_bucket, prefix="/one/")), S3Archive(changed(s3_bucket, prefix="two"))

    one.put([blob("same", b"1")])
    two.put([blob("same", b"2")])

    assert (one.read("same"), two.read("same")) == (b"1", b"2")
    assert (list(one.keys()), list(S3Archive(s3_bucket).keys("one/"))) == (["same"], ["one/same"])


def test_a_missing_bucket_is_down_not_missing_mail(s3_bucket: S3Settings) -> None:
    archive = S3Archive(changed(s3_bucket, bucket="no-such-bucket"))

    for call in (archive.check, lambda: archive.stat("one"), lambda: archive.read("one")):
        with pytest.raises(ArchiveDownError) as caught:
            call()
        assert caught.value.facts["bucket"] == "no-such-bucket"
        assert "archive.s3.bucket" in english.remedy(caught.value)


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"access_key_id": "nobody"}, "archive.s3.access_key_id"),
        ({"secret_access_key": SecretStr(SECRET)}, "archive.s3.secret_access_key"),
        ({"bucket": "not-there"}, "archive.s3.bucket"),
        ({"endpoint_url": f"http://127.0.0.1:{free_port()}"}, "archive.s3.endpoint_url"),
        ({"endpoint_url": "nonsense"}, "archive.s3.endpoint_url"),
    ],
    ids=["user", "secret", "bucket", "port", "address"],
)
def test_a_wrong_setting_is_named_without_its_secret(
    swift_bucket: S3Settings, changes: dict[str, object], setting: str
) -> None:
    settings = changed(swift_bucket, max_attempts=1, **changes)

    with pytest.raises(ArchiveDownError) as caught:
        S3Archive(settings).check()

    told = english.explain(caught.value) + str(caught.value.__cause__)
    assert setting in english.remedy(caught.value)
    assert SECRET not in told
    assert str(swift_bucket.secret_access_key.get_secret_value() if swift_bucket.secret_access_key else "?") not in told


def test_a_missing_certificate_file_is_named(s3_bucket: S3Settings, tmp_path: Path) -> None:
    settings = changed(s3_bucket, ca_file=tmp_path / "none.pem")

    with pytest.raises(ArchiveDownError) as caught:
        S3Archive(settings).check()

    assert "archive.s3.ca_file" in english.remedy(caught.value)


def test_a_server_without_tls_is_told_from_one_away(s3_bucket: S3Settings) -> None:
    endpoint = str(s3_bucket.endpoint_url).replace("http:", "https:")

    with pytest.raises(ArchiveDownError, match="TLS"):
        S3Archive(changed(s3_bucket, endpoint_url=endpoint)).check()


def test_each_process_has_connections_of_its_own(s3_bucket: S3Settings) -> None:
    archive = S3Archive(s3_bucket)
    archive.put([blob("parent", b"1")])
    parents = id(archive._connection.client)
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()

    def child() -> None:
        answers.put((id(archive._connection.client) != parents, archive.read("parent")))

    process = fork.Process(target=child)
    process.start()
    process.join(30)

    assert answers.get() == (True, b"1")
