"""Rules: what they allow, how they change, and that everything doubtful denies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proglog.errors import ConfigError, PermissionDeniedError
from proglog.security.actions import ACTIONS
from proglog.security.authorizer import CHECK_INTERVAL, MAX_REMEMBERED, AllowAll, Authorizer, CasbinAuthorizer
from proglog.security.files import RETRY_SECONDS

ROOT = "p, root, *, produce\np, root, *, consume\n"


class Rules:
    """An authorizer over files of its own, with a clock that tests turn."""

    def __init__(self, directory: Path, model: str, policy: str = ROOT) -> None:
        self.model_file, self.policy_file = directory / "model.conf", directory / "policy.csv"
        self.model_file.write_text(model)
        self.policy_file.write_text(policy)
        self.now = 100.0
        self.errors: list[str] = []
        self.reloads: list[int] = []

    def open(self) -> CasbinAuthorizer:
        return CasbinAuthorizer(
            self.model_file,
            self.policy_file,
            on_error=self.errors.append,
            on_reload=self.reloads.append,
            clock=lambda: self.now,
        )

    def replace_policy(self, policy: str | bytes) -> None:
        """As an operator should: a whole new file in one step."""
        draft = self.policy_file.with_suffix(".new")
        draft.write_bytes(policy if isinstance(policy, bytes) else policy.encode())
        draft.replace(self.policy_file)

    def wait(self) -> None:
        self.now += CHECK_INTERVAL


@pytest.fixture
def model(acl_files: tuple[Path, Path]) -> str:
    return acl_files[0].read_text()


@pytest.fixture
def rules(tmp_path: Path, model: str) -> Rules:
    return Rules(tmp_path, model)


def allowed(authorizer: Authorizer, subject: str, action: str, object_: str = "*") -> bool:
    try:
        authorizer.authorize(subject, object_, action)
    except PermissionDeniedError:
        return False
    return True


def test_the_books_files_let_root_produce_and_consume_and_nobody_anything(acl_files: tuple[Path, Path]) -> None:
    authorizer = CasbinAuthorizer(*acl_files)

    assert [allowed(authorizer, "root", action) for action in ("produce", "consume", "delete")] == [True, True, False]
    assert [allowed(authorizer, "nobody", action) for action in ("produce", "consume")] == [False, False]
    assert not allowed(authorizer, "root", "produce", "elsewhere")
    assert not allowed(authorizer, "", "produce")


def test_a_denial_names_who_what_and_on_what(acl_files: tuple[Path, Path]) -> None:
    with pytest.raises(PermissionDeniedError, match=r"^nobody not permitted to produce to \*$") as denied:
        CasbinAuthorizer(*acl_files).authorize("nobody", "*", "produce")

    assert (denied.value.subject, denied.value.action, denied.value.object) == ("nobody", "produce", "*")


def test_an_agent_without_rules_allows_everything_and_never_changes() -> None:
    authorizer = AllowAll()

    assert allowed(authorizer, "", "produce")
    assert authorizer.generation == 0


def test_a_question_is_evaluated_once_whatever_the_number_of_rules(tmp_path: Path, model: str) -> None:
    rules = Rules(tmp_path, model, "".join(f"p, user-{number}, *, produce\n" for number in range(10_000)))
    authorizer = rules.open()

    for _ in range(1000):
        assert allowed(authorizer, "user-9999", "produce")
        assert not allowed(authorizer, "stranger", "produce")

    assert (authorizer.evaluations, authorizer.rule_count) == (2, 10_000)


def test_remembered_decisions_are_bounded(rules: Rules) -> None:
    authorizer = rules.open()

    for number in range(MAX_REMEMBERED + 50):
        assert not allowed(authorizer, f"stranger-{number}", "produce")

    assert len(authorizer._decisions) <= MAX_REMEMBERED
    assert allowed(authorizer, "root", "produce")


def test_a_changed_policy_is_in_force_after_a_second_and_moves_the_generation(rules: Rules) -> None:
    authorizer = rules.open()
    before = authorizer.generation
    assert allowed(authorizer, "root", "produce")

    rules.replace_policy("p, alice, *, produce\n")
    assert allowed(authorizer, "root", "produce")
    rules.wait()

    assert authorizer.generation == before + 1
    assert not allowed(authorizer, "root", "produce")
    assert allowed(authorizer, "alice", "produce")
    assert (rules.reloads, rules.errors) == ([1], [])


def test_a_changed_model_is_in_force_too(rules: Rules, model: str) -> None:
    authorizer = rules.open()
    assert not allowed(authorizer, "root", "produce", "elsewhere")

    rules.model_file.write_text(model.replace("r.obj == p.obj", 'p.obj == "*"'))
    rules.wait()

    assert allowed(authorizer, "root", "produce", "elsewhere")


def test_a_change_that_keeps_size_and_time_is_seen_when_the_file_was_replaced(rules: Rules) -> None:
    authorizer = rules.open()
    before = rules.policy_file.stat()

    rules.replace_policy(ROOT.replace("root", "toor"))
    os.utime(rules.policy_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    rules.wait()

    assert not allowed(authorizer, "root", "produce")


def test_files_are_looked_at_once_a_second_at_most(rules: Rules) -> None:
    authorizer = rules.open()
    rules.replace_policy("p, alice, *, produce\n")

    assert not authorizer.maybe_reload(rules.now + CHECK_INTERVAL - 0.01)
    assert authorizer.maybe_reload(rules.now + CHECK_INTERVAL)
    assert not authorizer.maybe_reload(rules.now + 10 * CHECK_INTERVAL)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("", "has no rules"),
        ("\n# nothing but a comment\n", "has no rules"),
        ("p, root, *\n", "line 1: 'p, root, *' does not fit the model; expected 'p, sub, obj, act'"),
        ("p, root, *, produce, allow\n", "line 1: "),
        (ROOT + "p, root, , produce\n", "line 3: "),
        (ROOT + "q, root, *, produce\n", "line 3: 'q' is no kind of rule"),
        (ROOT + "g, alice, root\n", "line 3: 'g' is no kind of rule"),
        ("P, root, *, produce\n", "line 1: 'P' is no kind of rule"),
        ("p root * produce\n", "line 1: "),
        ("r, sub, obj, act\n", "line 1: 'r' is no kind of rule"),
        ("p, root), *, produce\n", "line 1: "),
        ("p, (root, *, produce\n", "line 1: "),
        (b"p, r\xffot, *, produce\n", "is not UTF-8 text (byte 4)"),
        (b"\x00" * 64, "line 1: "),
    ],
)
def test_a_bad_policy_is_refused_and_the_last_good_one_stays(rules: Rules, policy: str | bytes, said: str) -> None:
    authorizer = rules.open()
    generation = authorizer.generation
    rules.replace_policy(policy)
    rules.wait()

    for _ in range(3):
        assert allowed(authorizer, "root", "produce")
        assert not allowed(authorizer, "nobody", "produce")
        rules.wait()

    assert authorizer.generation == generation
    assert len(rules.errors) == 1
    assert str(rules.policy_file) in rules.errors[0]
    assert said in rules.errors[0]
    assert "the 2 rules loaded before stay in force" in rules.errors[0]
    with pytest.raises(ConfigError):
        rules.open()


def test_a_policy_that_vanishes_leaves_its_rules_in_force_until_it_returns(rules: Rules) -> None:
    authorizer = rules.open()
    rules.policy_file.unlink()
    rules.wait()
    assert allowed(authorizer, "root", "produce")
    assert "cannot be read: No such file or directory" in rules.errors[0]

    rules.replace_policy("p, alice, *, produce\n")
    rules.wait()

    assert not allowed(authorizer, "root", "produce")
    assert allowed(authorizer, "alice", "produce")


@pytest.mark.parametrize(
    ("find", "put", "said"),
    [
        ("[matchers]", "[other]", "has no 'm = ...' under [matchers]"),
        ("m = ", "n = ", "has no 'm = ...' under [matchers]"),
        ("r = sub, obj, act", "r = sub, act", "expected 'r = sub, obj, act'"),
        ("r.sub == p.sub", "r.sub ==", "do not work together"),
        ("r.sub == p.sub", "nonsense(r.sub)", "do not work together"),
        ("some(where (p.eft == allow))", "whatever", "do not work together"),
        ("e = some(where (p.eft == allow))", "e some", "is not a Casbin model"),
    ],
)
def test_a_model_that_cannot_decide_is_refused_at_start(
    tmp_path: Path, model: str, find: str, put: str, said: str
) -> None:
    assert find in model

    with pytest.raises(ConfigError) as failed:
        Rules(tmp_path, model.replace(find, put)).open()

    assert str(tmp_path / "model.conf") in str(failed.value)
    assert said in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_matcher_that_fails_for_a_question_denies_it_and_says_so(tmp_path: Path, model: str) -> None:
    fails_for_long_names = model.replace("r.sub == p.sub", '(r.sub == "" || r.sub[3] == "t")')
    rules = Rules(tmp_path, fails_for_long_names, "p, any, *, produce\n")
    authorizer = rules.open()

    assert allowed(authorizer, "root", "produce")
    assert not allowed(authorizer, "bob", "produce")
    assert "denied" in rules.errors[0]
    assert "'bob'" in rules.errors[0]


def test_roles_work_as_casbin_has_them(tmp_path: Path, model: str) -> None:
    roles = model.replace("[policy_effect]", "[role_definition]\ng = _, _\n\n[policy_effect]").replace(
        "r.sub == p.sub", "g(r.sub, p.sub)"
    )
    authorizer = Rules(tmp_path, roles, "p, writers, *, produce\ng, alice, writers\n").open()

    assert allowed(authorizer, "alice", "produce")
    assert not allowed(authorizer, "bob", "produce")


def test_files_of_other_systems_are_read_as_they_are(tmp_path: Path, model: str) -> None:
    rules = Rules(tmp_path, model)
    rules.replace_policy(b"\xef\xbb\xbf# exported\r\n\r\n  # indented\r\np, root, *, produce\r\n")

    assert allowed(rules.open(), "root", "produce")


def test_casbin_tells_nobody_what_was_asked(rules: Rules) -> None:
    code = (
        "import logging, sys, pathlib; logging.basicConfig(level=logging.DEBUG)\n"
        "from proglog.security.authorizer import CasbinAuthorizer\n"
        "CasbinAuthorizer(*map(pathlib.Path, sys.argv[1:])).authorize('root', '*', 'produce')\n"
        "print('done')\n"
    )
    command = [sys.executable, "-c", code, str(rules.model_file), str(rules.policy_file)]

    # In a process of its own: Casbin switches its loggers off when it has been used once.
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    assert (result.stdout, result.stderr) == ("done\n", "")


def rights(authorizer: Authorizer, subject: str) -> list[str]:
    return [action for action in ACTIONS if allowed(authorizer, subject, action)]


def test_a_policy_of_the_books_two_actions_grants_what_they_include(rules: Rules) -> None:
    rules.policy_file.write_text(f"{ROOT}p, reader, *, consume\np, writer, *, produce\n")
    authorizer = rules.open()

    assert rights(authorizer, "root") == ["produce", "consume", "describe", "observe", "replicate"]
    assert rights(authorizer, "reader") == ["consume", "describe", "observe"]
    assert rights(authorizer, "writer") == ["produce"]
    assert rights(authorizer, "nobody") == rights(authorizer, "") == []


def test_the_first_rule_that_names_an_action_ends_what_is_included(rules: Rules) -> None:
    rules.policy_file.write_text(f"{ROOT}p, peer, *, replicate\np, eye, *, observe\n")
    authorizer = rules.open()

    assert rights(authorizer, "root") == ["produce", "consume", "describe"]
    assert rights(authorizer, "peer") == ["replicate"]
    assert rights(authorizer, "eye") == ["observe"]


def test_a_word_that_is_no_action_is_found(rules: Rules) -> None:
    rules.policy_file.write_text("p, root, *, prodcue\np, root, *, consume\n")

    assert rules.open().unknown_actions() == ["prodcue"]


def test_a_policy_that_could_not_be_read_for_a_moment_is_read_again(
    rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorizer = rules.open()
    rules.replace_policy(ROOT + "p, nobody, *, produce\n")

    def no_descriptors(path: Path, limit_bytes: int) -> bytes:
        raise ConfigError(f"{path} cannot be read: Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("proglog.security.authorizer.read_bounded", no_descriptors)
        for _ in range(3):
            rules.wait()
            assert not allowed(authorizer, "nobody", "produce")
    assert len(rules.errors) == 1
    rules.now += RETRY_SECONDS
    assert allowed(authorizer, "nobody", "produce")
