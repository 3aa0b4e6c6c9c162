//! What is handed to operators works as it stands: the systemd unit, the SQL roles, the rules, Alertmanager's configuration, the
//! Compose files and the image. Each is read by the program that will read it in production. Deliberately nothing of the
//! daemon's behaviour here; the image is only asked whether its user and its binary are what they should be.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use xtask::engine::{self, Engine};
use xtask::packages;
use xtask::servers::{Postgres, PostgresSettings};

fn deploy(name: &str) -> PathBuf {
    xtask::paths::root().join("deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs it in `deploy/` and fails with what it said.
fn passes(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(deploy("")).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}:\n{}", told(&output));
    told(&output)
}

#[test]
fn prometheus_takes_the_rules_and_their_own_tests_pass() {
    packages::ensure(&["prometheus"]).unwrap();
    let told = passes("promtool", &["check", "rules", "prometheus/rules.yml"]);
    assert!(told.contains("15 rules found"), "{told}");
    passes("promtool", &["test", "rules", "prometheus/rules.test.yml"]);
}

/// The names of the alerts of a rule file of ours, each with its labels as they are written.
fn alerts(name: &str) -> Vec<(String, Vec<String>)> {
    let text = text(name);
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            found.push((alert.to_owned(), Vec::new()));
        } else if let (Some(labels), Some(last)) = (line.strip_prefix("labels: {"), found.last_mut()) {
            let pairs = labels.trim_end_matches('}').split(", ").map(|pair| pair.replace(": ", "="));
            last.1 = pairs.collect();
        }
    }
    found
}

#[test]
fn what_is_said_about_runbookd_goes_to_people_and_never_to_runbookd() {
    packages::ensure(&["prometheus", "prometheus-alertmanager"]).unwrap();
    let told = passes("promtool", &["check", "rules", "prometheus/runbookd.yml"]);
    let alerts = alerts("prometheus/runbookd.yml");
    assert!(alerts.len() >= 10 && told.contains(&format!("{} rules found", alerts.len())), "{told}");
    passes("promtool", &["test", "rules", "../tests/fixtures/rules/runbookd.test.yml"]);
    for (alert, labels) in &alerts {
        let wanted = if alert == "Watchdog" { "runbookd" } else { "humans" };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        assert_eq!(receivers(&[&[format!("alertname={alert}").as_str()], &labels[..]].concat()), wanted, "{alert} {labels:?}");
    }
}

#[test]
fn every_metric_that_a_rule_about_runbookd_asks_for_is_one_that_runbookd_has() {
    let source = |name: &str| std::fs::read_to_string(xtask::paths::root().join("crates/runbookd/src").join(name)).unwrap();
    let registered = source("metrics.rs") + &source("metrics/process.rs");
    let rules = text("prometheus/runbookd.yml");
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let words = words.filter(|word| word.starts_with("runbookd_") || word.starts_with("process_"));
    let asked: std::collections::BTreeSet<&str> = words.collect();
    assert!(asked.len() > 5, "{asked:?}");
    for metric in asked {
        let name = metric.trim_start_matches("runbookd_").trim_end_matches("_total");
        assert!(registered.contains(&format!("\"{name}\"")), "{metric} is no metric of runbookd");
    }
}

/// Whom the shipped routes tell of an alert with these labels.
fn receivers(labels: &[&str]) -> String {
    let file = "--config.file=alertmanager/alertmanager.yml";
    let told = passes("amtool", &[&["config", "routes", "test", file][..], labels].concat());
    told.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn alertmanager_takes_its_configuration_and_tells_people_whatever_we_do() {
    packages::ensure(&["prometheus-alertmanager"]).unwrap();
    passes("amtool", &["check-config", "alertmanager/alertmanager.yml"]);
    // Every alert goes to us and to people, also one of a severity that nobody thought of.
    for labels in [&["severity=critical"][..], &["severity=warning"], &["severity=page"], &[]] {
        assert_eq!(receivers(&[&["alertname=A"], labels].concat()), "runbookd,humans", "{labels:?}");
    }
}

/// The unit with a binary that is there, in a folder of its own.
fn unit() -> (tempfile::TempDir, PathBuf) {
    packages::ensure(&["systemd"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("runbookd.service");
    let written = text("runbookd.service");
    assert!(written.contains("ExecStart=/usr/local/bin/runbookd serve "));
    std::fs::write(&unit, written.replace("/usr/local/bin/runbookd", "/bin/true")).unwrap();
    (folder, unit)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit_nor_with_the_settings_that_its_head_offers() {
    let (folder, unit) = unit();
    let verify = || Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let output = verify();
    assert!(output.status.success() && told(&output).is_empty(), "{}", told(&output));

    // The commented settings, as `systemctl edit` would save them.
    let offered: Vec<String> = text("runbookd.service")
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .filter(|line| line.starts_with('[') || line.contains('='))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(offered.len(), 4, "{offered:?}");
    let drop_in = folder.path().join("runbookd.service.d");
    std::fs::create_dir(&drop_in).unwrap();
    std::fs::write(drop_in.join("override.conf"), offered.concat()).unwrap();
    let output = verify();
    assert!(output.status.success() && told(&output).is_empty(), "{}", told(&output));

    // That silence means something: a setting that systemd does not know is told.
    std::fs::write(drop_in.join("wrong.conf"), "[Service]\nNoSuchSetting=yes\n").unwrap();
    assert!(told(&verify()).contains("NoSuchSetting"));
}

#[test]
fn systemd_rates_the_unit_as_hardly_exposed() {
    let (_folder, unit) = unit();
    // In tenths. What remains: it must reach the network, and which addresses is the operator's to say.
    let output =
        Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=15"]).arg(&unit).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let written = text("runbookd.service");
    for line in
        ["ExecReload=/bin/kill -HUP $MAINPID", "RestartPreventExitStatus=64", "DynamicUser=yes", "StateDirectory=runbookd"]
    {
        assert!(written.lines().any(|found| found == line), "{line}");
    }
}

/// The roles of ours and all that was given to them.
fn roles(postgres: &Postgres) -> String {
    let attributes = "select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, \
         (select array_agg(s order by s) from pg_db_role_setting d, unnest(d.setconfig) s where d.setrole = r.oid), \
         (select array_agg(g.rolname order by g.rolname) from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = r.oid) \
         from pg_roles r where rolname like 'runbookd%' order by 1";
    let functions = "select proname, prosecdef, proacl::text from pg_proc where pronamespace = to_regnamespace('runbookd')";
    format!("{}\n{}", postgres.psql(attributes).unwrap(), postgres.psql(functions).unwrap())
}

/// The statement behind `-- Undo: ` in a file's head.
fn undo(name: &str) -> String {
    text(name).lines().find_map(|line| line.strip_prefix("-- Undo: ").map(str::to_owned)).unwrap()
}

#[test]
fn the_sql_files_can_be_run_again_undone_and_run_anew() {
    let more = vec![("log_statement".to_owned(), "all".to_owned()), ("log_min_duration_statement".to_owned(), "0".to_owned())];
    let postgres = Postgres::start_with(&PostgresSettings { more, ..PostgresSettings::default() }).unwrap();
    let files = [
        ("sql/look.sql", &[("look_password", "look pass-word")][..]),
        ("sql/act-terminate.sql", &[("act_password", "act pass-word")]),
        ("sql/terminate-as-superuser-function.sql", &[]),
    ];
    let run_all = || files.iter().for_each(|(file, given)| drop(postgres.psql_file("postgres", &deploy(file), given).unwrap()));
    run_all();
    let first = roles(&postgres);
    assert!(first.starts_with("runbookd_act|f|t|f|f|t|f|f|"), "{first}");
    assert!(first.contains("{pg_monitor,pg_signal_backend}") && first.contains("\nrunbookd_look|f|t|f|f|t|f|f|"), "{first}");
    assert!(first.contains("terminate_idle_session|t|{postgres=X/postgres,runbookd_act=X/postgres}"), "{first}");
    run_all();
    assert_eq!(roles(&postgres), first, "running them again changes nothing");
    // Whatever is logged, the passwords are not.
    assert!(postgres.log().contains("pg_monitor") || postgres.log().contains("CREATE SCHEMA"), "statements are logged at all");
    assert!(!postgres.log().contains("pass-word"), "a password stands in the server's log");

    for (file, _) in files.iter().rev() {
        undo(file)
            .split(';')
            .filter(|statement| !statement.trim().is_empty())
            .for_each(|statement| drop(postgres.psql(statement).unwrap()));
    }
    assert_eq!(roles(&postgres).trim(), "", "the undo in each file's head takes all of it back");
    run_all();
    assert_eq!(roles(&postgres), first);
}

#[test]
fn the_sql_files_refuse_to_make_a_login_without_a_password() {
    let postgres = Postgres::start().unwrap();
    for (file, variable) in [("sql/look.sql", "RUNBOOKD_LOOK_PASSWORD"), ("sql/act-terminate.sql", "RUNBOOKD_ACT_PASSWORD")] {
        assert!(std::env::var_os(variable).is_none(), "{variable} is set for this test");
        let error = postgres.psql_file("postgres", &deploy(file), &[]).unwrap_err().to_string();
        assert!(error.contains(variable), "{error}");
    }
    assert_eq!(roles(&postgres).trim(), "");
}

fn compose(engine: &Engine, file: &Path, more: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = engine.compose();
    command.arg("--file").arg(file).args(more).envs(environment.iter().copied());
    command.output().unwrap()
}

#[test]
fn compose_reads_the_estate_with_and_without_its_profiles() {
    let engine = engine::ensure().unwrap();
    let file = xtask::paths::root().join("docker-compose.yml");
    let services = |profiles: &[&str]| {
        let output =
            compose(&engine, &file, &[profiles, &["config", "--services"]].concat(), &[("ESTATE", "other"), ("DRILL", "1")]);
        assert!(output.status.success(), "{}", told(&output));
        let mut names: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let all = services(&["--profile", "runbookd", "--profile", "grafana"]);
    for name in [
        "postgres",
        "redis",
        "rabbitmq",
        "backend",
        "celery-worker",
        "celery-beat",
        "prometheus",
        "alertmanager",
        "nginx",
        "frontend",
    ] {
        assert!(all.iter().any(|found| found == name), "{name} is missing");
    }
    let usual = services(&[]);
    // Compose v1 lists profiles' services whether asked for or not; v2 only those that are asked for.
    assert!(usual.iter().all(|name| all.contains(name)));
    assert!(all.iter().any(|name| name == "runbookd") && all.iter().any(|name| name == "grafana"));
}

#[test]
fn compose_reads_the_fragment_and_says_what_it_lacks() {
    let engine = engine::ensure().unwrap();
    let file = deploy("compose.runbookd.yml");
    let given = [("PROJECT_NETWORK", "voiceai_default"), ("RUNBOOKD_CONFIG", "/etc/runbookd"), ("DOCKER_GID", "999")];
    let output = compose(&engine, &file, &["config"], &given);
    assert!(output.status.success(), "{}", told(&output));
    for wanted in ["voiceai_default", "/etc/runbookd:ro", "read_only: true", "no-new-privileges:true"] {
        // Version 2 writes mounts in their long form.
        let found =
            told(&output).contains(wanted) || (wanted.ends_with(":ro") && told(&output).contains("source: /etc/runbookd"));
        assert!(found, "{wanted} is not in\n{}", told(&output));
    }
    for (missing, _) in given {
        let rest: Vec<_> = given.into_iter().filter(|(name, _)| *name != missing).collect();
        let output = compose(&engine, &file, &["config"], &rest);
        assert!(!output.status.success() && told(&output).contains(missing), "{}", told(&output));
    }
}

/// Containers of this test, removed with it.
struct Containers<'a>(&'a Engine, Vec<String>);

impl Drop for Containers<'_> {
    fn drop(&mut self) {
        for id in &self.1 {
            let _ = self.0.run(&["rm", "--force", id]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_found_by_the_labels_that_compose_v2_writes() {
    use runbook::probe::{DockerProbe, Probe};
    use runbook::target::Place;

    let engine = engine::ensure().unwrap();
    engine::ensure_tiny(&engine).unwrap();
    let project = format!("v2labels{}", std::process::id());
    let fixture = xtask::paths::root().join("tests/fixtures/compose/v2-labels.json");
    let fixture: Value = serde_json::from_str(&std::fs::read_to_string(fixture).unwrap().replace("PROJECT", &project)).unwrap();
    let mut containers = Containers(&engine, vec![]);
    // A one-off (`docker compose run`) is somebody's errand and no replica.
    for container in [&fixture, &fixture["one_off"]] {
        let labels: Vec<String> = container["labels"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| format!("--label={name}={}", value.as_str().unwrap()))
            .collect();
        let mut words = vec!["run", "--detach", "--network=none", "--name", container["name"].as_str().unwrap()];
        words.extend(labels.iter().map(String::as_str));
        words.push(engine::TINY);
        containers.1.push(engine.run(&words).unwrap());
    }
    let place = Place::Engine { look: engine.host(), inside: None, act: None, tls: None };
    let worker =
        Place::Service { engine: "engine/main".parse().unwrap(), project, service: "worker".into(), scope: Default::default() };
    let target = crate::databases::target;
    let (inventory, connections) = crate::looks::listed([target("engine/main", place), target("service/worker", worker)]);
    let finding = crate::looks::look(&connections, &inventory, "service/worker", Probe::Docker(DockerProbe::Service)).await;
    assert_eq!(["replicas", "running"].map(|name| finding.number(name)), [Some(1.0), Some(1.0)]);
}

#[test]
fn the_image_runs_as_nobody_in_particular_and_holds_the_binary() {
    let engine = engine::ensure().unwrap();
    engine::ensure_base(&engine).unwrap();
    // A context as the repository is one, with what is tested in the place where a development build's is.
    let (context, root) = (tempfile::tempdir().unwrap(), xtask::paths::root());
    std::fs::copy(root.join(".dockerignore"), context.path().join(".dockerignore")).unwrap();
    std::fs::create_dir_all(context.path().join("target/debug")).unwrap();
    std::fs::copy(crate::support::daemon::binary(), context.path().join("target/debug/runbookd")).unwrap();
    let mut build = engine.docker();
    build.current_dir(context.path()).args(["build", "--quiet", "--network=host", "--file"]).arg(root.join("deploy/Dockerfile"));
    let output = build.args(["--build-arg=BINARY=target/debug/runbookd", "--tag=runbookd-test", "."]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let run = |entry: &str, words: &[&str]| {
        let guarded = ["run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--entrypoint", entry, "runbookd-test"];
        engine.run(&[&guarded[..], words].concat()).unwrap()
    };
    assert_eq!(run("id", &[]), "uid=10095(runbookd) gid=10095(runbookd) groups=10095(runbookd)");
    assert_eq!(run("stat", &["-c", "%U %a", "/var/lib/runbookd"]), "runbookd 700");
    let version = run("/usr/local/bin/runbookd", &["--version"]);
    assert!(version.starts_with("runbookd "), "{version}");
}
