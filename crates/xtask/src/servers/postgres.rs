//! A private PostgreSQL 15.
//!
//! The cluster is a copy of a template that `initdb` makes once per target directory, so a start takes well under a
//! second. It runs as the user `postgres` where we are root, because PostgreSQL refuses root. `fsync` is off: what is
//! tested is what runbookd does to a server, never the server's own durability. Logins over TCP need their password,
//! as in production; the Unix socket trusts.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::process::as_user;
use super::{Process, Program, Scratch, free_port, on_free_ports};
use crate::{command, packages, paths};

/// Where Debian keeps the programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// The user that it runs as where we are root.
const USER: &str = "postgres";

/// What can be chosen; `PostgresSettings::default()` is 30 connections, of which 3 for superusers.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// `max_connections`, reserved ones included.
    pub max_connections: u32,
    /// `superuser_reserved_connections`.
    pub reserved: u32,
    /// More lines of postgresql.conf, as (name, value); the value is quoted for you.
    pub more: Vec<(String, String)>,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        PostgresSettings { max_connections: 30, reserved: 3, more: Vec::new() }
    }
}

/// A running PostgreSQL; ended on drop.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    program: Program,
    port: u16,
    scratch: Scratch,
}

impl Postgres {
    /// Starts one with the default settings.
    ///
    /// # Errors
    /// When the package is missing and cannot be installed, or the server does not come up.
    pub fn start() -> Result<Postgres> {
        Postgres::start_with(&PostgresSettings::default())
    }

    /// Starts one.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with(settings: &PostgresSettings) -> Result<Postgres> {
        packages::ensure(&["postgresql-15"])?;
        let template = template()?;
        on_free_ports(|| Postgres::start_once(settings, &template))
    }

    fn start_once(settings: &PostgresSettings, template: &Path) -> Result<Postgres> {
        let port = free_port()?;
        let scratch = Scratch::new("postgres")?;
        let data = scratch.join("data");
        copy(template, &data)?;
        write_configuration(settings, port, &scratch, &data)?;
        scratch.give_to(USER)?;
        let program = Program {
            name: format!("postgres on port {port}"),
            path: Path::new(PROGRAMS).join("postgres"),
            arguments: vec!["-D".into(), data.display().to_string()],
            environment: vec![("LC_ALL".into(), "C.UTF-8".into()), ("TZ".into(), "UTC".into())],
            user: Some(USER.into()),
            directory: scratch.path().into(),
            log: scratch.join("log"),
        };
        let mut postgres = Postgres { process: Process::start(&program)?, program, port, scratch };
        postgres.wait_ready()?;
        Ok(postgres)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let (host, port) = (self.scratch.path().to_path_buf(), self.port);
        self.process.wait_ready(Duration::from_secs(30), || {
            command::output(
                Command::new(Path::new(PROGRAMS).join("pg_isready"))
                    .args(["--quiet", "--host"])
                    .arg(&host)
                    .arg(format!("--port={port}")),
            )
            .map(|_| ())
        })
    }

    /// The port it listens on, at 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's name.
    #[must_use]
    pub fn superuser(&self) -> &'static str {
        "postgres"
    }

    /// The superuser's password, needed over TCP.
    #[must_use]
    pub fn password(&self) -> &'static str {
        "correct horse"
    }

    /// An address that clients understand, for the given login.
    #[must_use]
    pub fn url(&self, user: &str, password: &str, database: &str) -> String {
        let password = password.replace(' ', "%20");
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The superuser's address for the database `postgres`.
    #[must_use]
    pub fn superuser_url(&self) -> String {
        self.url(self.superuser(), self.password(), "postgres")
    }

    /// The directory of the Unix socket, which trusts every login.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs SQL as the superuser in the database `postgres` and answers what it printed, unaligned, without heads.
    ///
    /// # Errors
    /// The server's own message when any statement fails.
    pub fn psql(&self, sql: &str) -> Result<String> {
        self.psql_as(self.superuser(), "postgres", sql)
    }

    /// The same for another login and database, over the trusting Unix socket.
    ///
    /// # Errors
    /// As [`Postgres::psql`].
    pub fn psql_as(&self, user: &str, database: &str, sql: &str) -> Result<String> {
        let text = command::output(
            Command::new(Path::new(PROGRAMS).join("psql"))
                .args(["-XAtq", "--set=ON_ERROR_STOP=1", "--host"])
                .arg(self.socket_directory())
                .arg(format!("--port={}", self.port))
                .args(["--username", user, "--dbname", database, "--command", sql])
                .env("PGAPPNAME", "test psql"),
        )?;
        Ok(text.trim_end().to_owned())
    }

    /// Runs a file of SQL as the superuser in the given database, with `:name` variables.
    ///
    /// # Errors
    /// As [`Postgres::psql`].
    pub fn psql_file(&self, database: &str, file: &Path, variables: &[(&str, &str)]) -> Result<String> {
        command::output(
            Command::new(Path::new(PROGRAMS).join("psql"))
                .args(["-XAtq", "--set=ON_ERROR_STOP=1", "--host"])
                .arg(self.socket_directory())
                .arg(format!("--port={}", self.port))
                .args(["--username", self.superuser(), "--dbname", database, "--file"])
                .arg(file)
                .args(variables.iter().map(|(name, value)| format!("--set={name}={value}"))),
        )
    }

    /// The server's log so far: each line has the time, `[process id]`, and `user@database application`.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where that log is.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        self.process.log_path()
    }

    /// The data directory.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// The process, to be asked for its id.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Stops all of it where it stands (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it is gone.
    pub fn stop(&self) -> Result<()> {
        self.process.stop()
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// When it is gone.
    pub fn cont(&self) -> Result<()> {
        self.process.cont()
    }

    /// Ends it at once (immediate shutdown); [`Postgres::start_again`] brings it back on the same port and data.
    pub fn shut_down(&mut self) {
        self.process.end(Signal::QUIT, Duration::from_secs(10));
    }

    /// Starts it again after [`Postgres::shut_down`].
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.shut_down();
        self.process = Process::start(&self.program)?;
        self.wait_ready()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT and not SIGKILL: the server then removes its shared memory.
        self.shut_down();
    }
}

fn write_configuration(settings: &PostgresSettings, port: u16, scratch: &Scratch, data: &Path) -> Result<()> {
    let socket = scratch.path().display().to_string();
    let mut lines: Vec<(String, String)> = [
        ("listen_addresses", "127.0.0.1"),
        ("port", &port.to_string()),
        ("unix_socket_directories", &socket),
        ("max_connections", &settings.max_connections.to_string()),
        ("superuser_reserved_connections", &settings.reserved.to_string()),
        ("fsync", "off"),
        ("shared_buffers", "16MB"),
        ("log_line_prefix", "%m [%p] %q%u@%d %a "),
        ("log_connections", "on"),
        ("log_disconnections", "on"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    lines.extend(settings.more.iter().cloned());
    let text: String = lines.iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect();
    // Later lines win, so these come after what initdb wrote.
    let path = data.join("postgresql.auto.conf");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::write(
        data.join("pg_hba.conf"),
        "local all all trust\nlocal replication all trust\n\
         host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n",
    )?;
    Ok(())
}

/// The template cluster, made by `initdb` where it is not there yet.
fn template() -> Result<PathBuf> {
    let version = command::output(Command::new(Path::new(PROGRAMS).join("postgres")).arg("--version"))?;
    let version = version.split_whitespace().nth(2).unwrap_or("15").to_owned();
    let cache = paths::cache()?;
    let template = cache.join(format!("postgres-{version}"));
    if template.is_dir() {
        return Ok(template);
    }
    let lock = File::create(cache.join("postgres.lock"))?;
    lock.lock().context("cannot lock postgres.lock")?;
    if template.is_dir() {
        return Ok(template);
    }
    let scratch = Scratch::new("initdb")?;
    let data = scratch.join("data");
    let password = scratch.write("password", "correct horse\n")?;
    scratch.give_to(USER)?;
    command::output(
        as_user(Some(USER))
            .arg("--")
            .arg(Path::new(PROGRAMS).join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"])
            .arg(format!("--pwfile={}", password.display()))
            .current_dir(scratch.path()),
    )?;
    // Whoever sees the final name sees a whole copy.
    let part = cache.join(format!("postgres-{version}.part"));
    if part.exists() {
        std::fs::remove_dir_all(&part)?;
    }
    copy(&data, &part)?;
    std::fs::rename(&part, &template).context("cannot put the template in place")?;
    Ok(template)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    command::output(Command::new("cp").args(["--recursive", "--preserve=mode", "--reflink=auto"]).arg(from).arg(to)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_hangs_on_demand_and_comes_back_on_its_port() {
        let mut postgres = Postgres::start().unwrap();
        assert_eq!(postgres.psql("show max_connections").unwrap(), "30");
        postgres.psql("create role app login password 'app'").unwrap();
        let seen = postgres.psql_as("app", "postgres", "select current_user").unwrap();
        assert_eq!(seen, "app");
        assert!(postgres.psql("select wrong").unwrap_err().to_string().contains("wrong"));

        postgres.stop().unwrap();
        let hung = command::finish(
            Command::new(Path::new(PROGRAMS).join("pg_isready"))
                .args(["--quiet", "--timeout=1", "--host=127.0.0.1"])
                .arg(format!("--port={}", postgres.port())),
        );
        assert!(!hung.unwrap().status.success());
        postgres.cont().unwrap();
        assert_eq!(postgres.psql("select 1").unwrap(), "1");

        postgres.shut_down();
        assert!(postgres.psql("select 1").is_err());
        postgres.start_again().unwrap();
        assert_eq!(postgres.psql("select count(*) from pg_roles where rolname = 'app'").unwrap(), "1");
        assert!(postgres.log().contains("app@postgres test psql"), "{}", postgres.log());
    }

    #[test]
    fn a_password_is_wanted_over_tcp() {
        let settings = PostgresSettings {
            max_connections: 12,
            more: vec![("work_mem".into(), "1MB".into())],
            ..PostgresSettings::default()
        };
        let postgres = Postgres::start_with(&settings).unwrap();
        assert_eq!(postgres.psql("show work_mem").unwrap(), "1MB");
        let ask = |url: &str| command::output(Command::new("psql").args(["-XAtqw", url, "-c", "select 1"]));
        assert_eq!(ask(&postgres.superuser_url()).unwrap(), "1\n");
        assert!(ask(&postgres.url("postgres", "wrong", "postgres")).is_err());
    }
}
