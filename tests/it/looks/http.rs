//! Prometheus, and a page of it as an HTTP endpoint.

use runbook::condition::Value;
use runbook::probe::{HttpProbe, Probe, PrometheusProbe, Query};
use runbook::target::Place;
use xtask::servers::{Prometheus, free_port};

use super::{assert_all_seen, assert_fields, listed, look};
use crate::databases::target;

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_http_are_seen_and_down() {
    let prometheus = Prometheus::start("global: {scrape_interval: 1s}\n", &[]).unwrap();
    let places = |url: String| {
        let page = Place::Http { url: format!("{url}/-/healthy"), expect: 200 };
        let moved = Place::Http { url: format!("{url}/"), expect: 200 };
        [
            target("prometheus/main", Place::Prometheus { url, token: None }),
            target("http/page", page),
            target("http/moved", moved),
        ]
    };
    let (inventory, connections) = listed(places(prometheus.url()));
    let query = |expr: &str| Probe::Prometheus(PrometheusProbe::Query(Query { expr: expr.into() }));
    let ready = look(&connections, &inventory, "prometheus/main", Probe::Prometheus(PrometheusProbe::Ready)).await;
    assert_all_seen(&ready, &[]);
    assert_eq!(ready.field("ready"), Value::Flag(true));
    let table = [
        ("1 + 1", Ok(2.0)),
        ("vector(3)", Ok(3.0)),
        ("no_such_metric", Err("no data")),
        ("vector(1) or label_replace(vector(2), \"a\", \"b\", \"\", \"\")", Err("2 series")),
        ("vector(0) / 0", Err("NaN")),
        ("vector(1)[5m:1m]", Err("a matrix")),
    ];
    for (expr, wanted) in table {
        let finding = look(&connections, &inventory, "prometheus/main", query(expr)).await;
        assert_fields(&finding);
        match (finding.field("value"), wanted) {
            (Value::Number(number), Ok(wanted)) => assert_eq!(number, wanted, "{expr}"),
            (Value::Unknown(why), Err(wanted)) => assert!(why.contains(wanted), "{expr}: {why}"),
            other => panic!("{expr}: {other:?}"),
        }
    }
    let wrong = look(&connections, &inventory, "prometheus/main", query("sum(")).await;
    assert!(wrong.unknown().is_some_and(|why| why.contains("parse error")), "{wrong:?}");
    let get = Probe::Http(HttpProbe::Get);
    let page = look(&connections, &inventory, "http/page", get.clone()).await;
    assert_all_seen(&page, &[]);
    assert_eq!((page.field("expected"), page.number("status")), (Value::Flag(true), Some(200.0)));
    let moved = look(&connections, &inventory, "http/moved", get.clone()).await;
    assert_eq!((moved.field("expected"), moved.number("status")), (Value::Flag(false), Some(302.0)), "no redirect is followed");

    // Nobody listens there.
    let (inventory, connections) = listed(places(format!("http://127.0.0.1:{}", free_port().unwrap())));
    let page = look(&connections, &inventory, "http/page", get).await;
    assert_fields(&page);
    assert_eq!((page.field("answering"), page.field("expected")), (Value::Flag(false), Value::Flag(false)));
    assert!(look(&connections, &inventory, "prometheus/main", query("1")).await.unknown().is_some());
}
