//! `runbookd.yaml`: the daemon's own settings and the named time intervals. Deliberately resolves nothing: secrets are read
//! at each connect, certificates when the server starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use runbook::Span;
use runbook::interval::{Intervals, WrittenIntervals};
use runbook::text::inert;

use super::{http_url, may, need, need_text, path_from, secrets};
use crate::config::complaint::Severity;
use crate::config::settings::{AlertmanagerSettings, DaemonSettings, Retention, SlackSettings, WatchdogSettings};
use crate::config::written::approval::WrittenApproval;
use crate::config::written::daemon::{WrittenAlertmanager, WrittenDaemon, WrittenRetention, WrittenSlack, WrittenWatchdog};
use crate::config::written::rules::WrittenRules;
use crate::config::yaml::{Bytes, Document, Placed, Raw, Reader};

/// What the file says, as far as it could be read.
#[derive(Default)]
pub struct Daemon {
    /// The settings; where something was wrong, the default stands in.
    pub settings: DaemonSettings,
    /// The time intervals that are right.
    pub intervals: BTreeMap<String, Intervals>,
    /// The names of all of them, the wrong ones too.
    pub interval_names: BTreeSet<String>,
    /// Who may agree to what; it names targets and runbooks, and so is read after them.
    pub approval: Option<Placed<WrittenApproval>>,
    /// The web configuration file that was named, and where.
    pub web: Option<(String, Bytes)>,
    /// The rules of the house, which name targets and so are read after them.
    pub rules: Option<Placed<WrittenRules>>,
}

/// Reads the file.
pub fn daemon(document: &Document, base: &Path) -> Daemon {
    let mut daemon = Daemon::default();
    let Some(root) = document.root() else { return daemon };
    let Some(placed) = Reader::new(document, root).read::<Placed<WrittenDaemon>>() else { return daemon };
    let Some(written) = placed.get() else { return daemon };
    let settings = &mut daemon.settings;
    if let Some(listen) = &written.listen
        && let Some(text) = listen.get()
    {
        match text.parse() {
            Ok(address) => settings.listen = address,
            Err(_) => document.complain(
                listen.at(),
                format!("`{}` is no address and port", inert(text, 60)),
                "write 127.0.0.1:9095, or 0.0.0.0:9095 for every address of this machine",
            ),
        }
    }
    settings.state = may(&written.state).map(|path| path_from(base, path));
    daemon.web = written.tls.as_ref().and_then(|tls| Some((tls.get()?.clone(), tls.at())));
    settings.webhook_open = may(&written.webhook).is_some_and(|webhook| may(&webhook.open) == Some(&true));
    if settings.webhook_open
        && !settings.listen.ip().is_loopback()
        && let Some(webhook) = &written.webhook
    {
        document.say(
            Severity::Warning,
            webhook.at(),
            format!("anybody who reaches {} can start runbooks", settings.listen),
            "remove `open: true`; a token is then made in the state directory",
        );
    }
    settings.alertmanagers = may(&written.alertmanager).map(|list| alertmanagers(document, base, list)).unwrap_or_default();
    settings.slack = written.slack.as_ref().and_then(|placed| slack(document, base, placed));
    settings.watchdog = written.watchdog.as_ref().and_then(|placed| watchdog(document, base, placed));
    if let (None, Some(placed)) = (&written.slack, &written.watchdog) {
        let message = "when the heartbeat stops, people are told in Slack, and no Slack is configured";
        document.say(
            Severity::Warning,
            placed.at(),
            message,
            "add `slack:`; the outside address alone cannot tell a dead chain from a dead runbookd",
        );
    }
    settings.retention = written.retention.as_ref().map(|placed| retention(document, placed)).unwrap_or_default();
    daemon.approval.clone_from(&written.approval);
    daemon.rules.clone_from(&written.rules);
    if let Some(list) = may(&written.time_intervals) {
        for placed in list {
            interval(document, placed, &mut daemon.interval_names, &mut daemon.intervals);
        }
    }
    daemon
}

fn interval(document: &Document, placed: &Placed<Raw>, names: &mut BTreeSet<String>, right: &mut BTreeMap<String, Intervals>) {
    let Some(Raw(node)) = placed.get() else { return };
    // The name counts as known even where the rest is wrong: modes that use it are not wrong as well.
    if let Some(name) = document.get(*node, "name").and_then(|name| document.scalar(name)) {
        if !names.insert(name.to_owned()) {
            let message = format!("the time interval `{}` is here a second time", inert(name, 60));
            document.complain(placed.at(), message, "give it another name, or join the two lists");
        }
        let taken = match name {
            "default" => Some("`default` is no name for a time interval: in a mode it means all other times"),
            "earned" => Some("`earned` is no name for a time interval: in a mode it says that autonomy is earned"),
            _ => None,
        };
        if let Some(message) = taken {
            document.complain(placed.at(), message, "give it another name");
        }
    }
    let Some(written) = Reader::new(document, *node).read::<WrittenIntervals>() else { return };
    match Intervals::check(&written) {
        Ok(intervals) => {
            right.insert(written.name, intervals);
        }
        Err(errors) => {
            for error in errors {
                let at = document.at(document.follow(*node, &error.field));
                document.complain(at, format!("{}: {}", error.field, error.message), error.mend);
            }
        }
    }
}

fn alertmanagers(document: &Document, base: &Path, list: &[Placed<WrittenAlertmanager>]) -> Vec<AlertmanagerSettings> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for placed in list {
        let Some(written) = placed.get() else { continue };
        need(document, placed.at(), &written.url, "url");
        let url = http_url(document, &written.url, "http://alertmanager:9093");
        let receiver = need_text(document, placed.at(), &written.receiver, "receiver");
        let token = written.token.as_ref().map(|token| secrets::secret(document, base, placed.at(), token, "token"));
        let basic = written.basic.as_ref().map(|basic| secrets::login(document, base, basic));
        if token.is_some() && basic.is_some() {
            document.complain(placed.at(), "both `token` and `basic` are here", "keep the one that this Alertmanager wants");
        }
        let (Some(url), Some(receiver)) = (url, receiver) else { continue };
        if !seen.insert(url.clone()) {
            let message = format!("the Alertmanager {} is here a second time", inert(&url, 80));
            document.complain(written.url.at(), message, "remove one of the two");
        }
        all.push(AlertmanagerSettings {
            url,
            receiver: receiver.to_owned(),
            token: token.flatten(),
            basic: basic.flatten(),
            calls_people: may(&written.raise) != Some(&false),
        });
    }
    all
}

fn slack(document: &Document, base: &Path, placed: &Placed<WrittenSlack>) -> Option<SlackSettings> {
    let written = placed.get()?;
    let token = secrets::secret(document, base, placed.at(), &written.token, "token");
    let channel = need(document, placed.at(), &written.channel, "channel").filter(|channel| {
        let name = channel.strip_prefix('#').unwrap_or(channel);
        let fits = !name.is_empty()
            && name.chars().count() <= 80
            && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#');
        if !fits {
            document.complain(
                written.channel.at(),
                format!("`{}` is no channel of Slack", inert(channel, 60)),
                "write \"#name\" in quotes, or the channel's id",
            );
        }
        fits
    });
    let base_url = match &written.base_url {
        Some(url) => http_url(document, url, "https://slack.com/api"),
        None => Some("https://slack.com/api".to_owned()),
    };
    Some(SlackSettings { token: token?, channel: channel?.clone(), base_url: base_url? })
}

fn watchdog(document: &Document, base: &Path, placed: &Placed<WrittenWatchdog>) -> Option<WatchdogSettings> {
    let written = placed.get()?;
    let span = |of: &Option<Placed<Span>>, usual: u64, (least, most): (u64, u64), words: &str| {
        let span = may(of).copied().unwrap_or(Span::secs(usual));
        if let Some(at) = of
            && (span < Span::secs(least) || span > Span::secs(most))
        {
            let mend = format!("write between {} and {}", Span::secs(least), Span::secs(most));
            document.complain(at.at(), format!("{words} {span}"), mend);
        }
        span
    };
    let silence_after =
        span(&written.silence_after, 600, (10, 86_400), "a heartbeat that comes every minute cannot be missed after");
    let every = span(&written.every, 60, (1, 3_600), "the outside address cannot be asked every");
    let alert = may(&written.alert).cloned().unwrap_or_else(|| "Watchdog".to_owned());
    if let Some(at) = &written.alert
        && alert.trim().is_empty()
    {
        document.complain(at.at(), "this names no alert", "write the name of a rule that always fires, for example Watchdog");
    }
    let ping = written.ping.as_ref().map(|ping| secrets::secret(document, base, placed.at(), ping, "ping"));
    if ping == Some(None) {
        return None;
    }
    Some(WatchdogSettings { alert, silence_after, ping: ping.flatten(), every })
}

fn retention(document: &Document, placed: &Placed<WrittenRetention>) -> Retention {
    let Some(written) = placed.get() else { return Retention::default() };
    let age = may(&written.age).copied();
    if let (Some(span), Some(at)) = (age, &written.age)
        && span < Span::secs(86_400)
    {
        document.complain(
            at.at(),
            format!("{span} is too short: rates and recurrence look back at closed incidents"),
            "write 1d or more",
        );
    }
    let size = written.size.as_ref().and_then(|size| {
        let bytes = size.get().and_then(|text| bytes(text));
        if bytes.is_none_or(|bytes| bytes < 16 << 20)
            && let Some(text) = size.get()
        {
            let message = format!("`{}` is no size for a journal", inert(text, 40));
            document.complain(size.at(), message, "write 16MB or more, for example 512MB or 2GB");
        }
        bytes
    });
    Retention { age, size }
}

/// A size as Prometheus writes it, in bytes: units are powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "B" => 1,
        "KB" | "KiB" => 1 << 10,
        "MB" | "MiB" => 1 << 20,
        "GB" | "GiB" => 1 << 30,
        "TB" | "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_read_as_prometheus_reads_them() {
        assert_eq!(bytes("512MB"), Some(512 << 20));
        assert_eq!(bytes("2GiB"), Some(2 << 30));
        for text in ["", "5", "MB", "1.5GB", "99999999999TB", "-1GB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
