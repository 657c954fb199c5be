"""`holdfast doctor` says what is so, where it comes from, and what to mend; it changes nothing."""

from __future__ import annotations

from shopkeeping import charge, orphaned


def found(read, *args):
    return {item["check"]: item for item in read("doctor", *args)}


def test_a_healthy_ledger_passes_every_check(home, read, run):
    run("migrate")

    checks = found(read)

    assert {item["level"] for item in checks.values()} == {"ok"}
    assert [checks[name]["says"] for name in ("circuits", "stopped workflows", "spent effects")] == [
        "none"
    ] * 3
    assert run("doctor").exit_code == 0


def test_every_setting_is_told_with_where_it_came_from(shop, read, monkeypatch):
    monkeypatch.setenv("HOLDFAST_LEASE", "20s")
    monkeypatch.setenv("HOLDFAST_AUDIT_KEY", "not-to-be-shown-anywhere")
    checks = found(read)

    assert checks["setting lease"]["says"] == "20.0 ($HOLDFAST_LEASE)"
    assert checks["setting renew_every"]["says"] == "3.0 (default)"
    assert checks["setting audit_key"]["says"] == "set ($HOLDFAST_AUDIT_KEY)"


def test_a_misspelt_setting_is_noticed(shop, read, monkeypatch):
    monkeypatch.setenv("HOLDFAST_LEASES", "20s")

    assert found(read)["settings"]["fix"] == "did you mean $HOLDFAST_LEASE?"


def test_a_setting_that_cannot_be_read_fails(shop, run, monkeypatch):
    monkeypatch.setenv("HOLDFAST_LEASE", "long")

    result = run("doctor")

    assert result.exit_code == 1
    assert "settings\tfail" in result.stdout


def test_a_password_in_the_url_is_never_shown(home, run):
    url = "postgresql://me:hunter2@127.0.0.1:1/shop?password=hunter3"

    for command in (("doctor",), ("effects",), ("migrate",), ("migrate", "--check"), ("show", "order-1")):
        result = run(*command, "--url", url)
        assert result.exit_code == 1
        assert "hunter" not in result.output


def test_doubt_and_dead_claims_are_told_with_the_next_command(shop, home, read, run):
    orphaned(home / "holdfast.db", charge("order-200"))
    checks = found(read)

    assert checks["effects"]["says"] == "1 waiting, 1 pending, 1 retryable, 1 unknown, 1 succeeded"
    assert (checks["in doubt"]["level"], checks["in doubt"]["fix"]) == ("warn", "see `holdfast unknown`")
    assert checks["dead claims"]["level"] == "warn"
    assert "`holdfast unknown`" in checks["dead claims"]["fix"]
    assert run("doctor").exit_code == 0


def test_a_missing_ledger_fails_and_is_not_created(home, run):
    result = run("doctor", "--url", "sqlite:///typo.db")

    assert result.exit_code == 1
    assert str(home / "typo.db") in result.stdout
    assert not (home / "typo.db").exists()


def test_missing_tables_fail_with_the_command_that_makes_them(home, run):
    (home / "empty.db").touch()

    result = run("doctor", "--url", "sqlite:///empty.db")

    assert result.exit_code == 1
    assert "holdfast migrate --url sqlite:///empty.db" in result.stdout


def test_a_ledger_in_memory_is_warned_about(read):
    assert found(read, "--url", "memory://")["durable"]["level"] == "warn"


def test_a_url_that_names_nothing_fails(home, run):
    result = run("doctor", "--url", "mysql://localhost/x")

    assert result.exit_code == 1
    assert "store\tfail" in result.stdout
