//! What holds for every chart: it is sound XML with the words that were asked for, and no words lie on others.

use resvg::usvg::roxmltree::Document;

use super::{
    bars::{Bar, Bars, Panel},
    canvas::Canvas,
    font,
    groups::{self, Group, Groups},
    heat::{Grid, Heat},
    lines::{Lines, Series, Stroke},
    scale::Scale,
    style::Ink,
    timeline::{Event, Strip, Timeline},
    *,
};

fn caption() -> Caption {
    Caption {
        title: "10,000 requests on <3> servers".into(),
        subtitle: "requests & shares".into(),
        source: "seed 1".into(),
    }
}

fn bars(servers: u16) -> Canvas {
    let bar = |number: u16| Bar {
        label: format!("Server-{number}-of-many"),
        short: number.to_string(),
        value: 10_000.0 / f64::from(servers) + f64::from(number % 7),
        expected: Some(10_000.0 / f64::from(servers)),
        ink: Ink::replica(number, servers.into()),
    };
    let bars: Vec<Bar> = (1..=servers).map(bar).collect();
    let panel =
        |title: &str| Panel { title: title.into(), note: "busiest/mean 1.01".into(), bars: bars.clone() };
    let panels =
        if servers > 10 { vec![panel("xxh3")] } else { ["quadratic", "prime", "sha256"].map(panel).into() };
    Bars {
        caption: caption(),
        axis: "requests".into(),
        labels: "server".into(),
        expectation: "expected from the ring".into(),
        panels,
    }
    .draw()
}

fn groups() -> Canvas {
    let group = |index: usize| Group {
        label: format!("workload {index}"),
        values: (0..4).map(|series| (series != index).then_some(0.7 + 0.3 * series as f64)).collect(),
    };
    let series = |index: u8| (format!("subject {index}"), Ink::Series(index));
    Groups {
        caption: caption(),
        series: (0..4).map(series).collect(),
        panels: vec![
            groups::Panel {
                axis: "times the first".into(),
                level: Some(1.0),
                groups: (0..7).map(group).collect(),
            },
            groups::Panel { axis: "seconds".into(), level: None, groups: (0..7).map(group).collect() },
        ],
    }
    .draw()
}

fn lines() -> Canvas {
    let series = |form: usize| Series {
        label: format!("hash {form}"),
        ink: Ink::Series(form as u8),
        stroke: Stroke::Points(form),
        points: (2..=6).map(|n| (f64::from(n), f64::from(n) * (form + 1) as f64)).collect(),
    };
    let panel = |title: &str| lines::Panel {
        title: title.into(),
        note: String::new(),
        y: Scale::from_zero(24.0, 5),
        y_title: "requests".into(),
        series: (0..4).map(series).collect(),
    };
    let x = Scale::between(2.0, 6.0, 4);
    Lines { caption: caption(), x, x_title: "servers".into(), panels: vec![panel("a"), panel("b")] }.draw()
}

fn timeline() -> Canvas {
    let event = |at: f64, label: &str| Event { at, label: label.into(), ink: Ink::Bad };
    let points: Vec<(f64, f64)> =
        (0..100).map(|step| (f64::from(step) / 10.0, f64::from(step % 9))).collect();
    let strip = |title: &str, bars| Strip {
        title: title.into(),
        y: Scale::from_zero(9.0, 3),
        series: vec![("p99".into(), Ink::Series(0), points.clone())],
        bars,
    };
    Timeline {
        caption: caption(),
        seconds: 10.0,
        events: vec![event(2.0, "killed"), event(2.01, "noticed after 8 ms"), event(9.9, "back after 7.9 s")],
        strips: vec![strip("requests/s", false), strip("errors/s", true)],
    }
    .draw()
}

fn heat() -> Canvas {
    let grid = |title: &str| Grid {
        title: title.into(),
        note: "93 of 512 slots are reached".into(),
        cells: (0..512).map(|slot| Ink::Heat((slot % 9) as u8)).collect(),
    };
    let grids = || ["quadratic", "prime", "sha256", "xxh3"].map(grid).into();
    Heat {
        caption: caption(),
        legend: vec![("Server-1".into(), Ink::Series(0))],
        ramp: ("few keys".into(), "many keys".into()),
        across: 32,
        rows: vec![("Keys that fall on each slot".into(), grids()), ("Owners".into(), grids())],
    }
    .draw()
}

fn all() -> Vec<(&'static str, Canvas)> {
    vec![
        ("bars of 3", bars(3)),
        ("bars of 6", bars(6)),
        ("bars of 100", bars(100)),
        ("groups", groups()),
        ("lines", lines()),
        ("timeline", timeline()),
        ("heat", heat()),
    ]
}

/// The words of a drawing with their boxes: left, top, right, bottom. Turned ones are left out.
fn words(svg: &str) -> Vec<(String, [f64; 4])> {
    let document = Document::parse(svg).expect("sound XML");
    let texts =
        document.descendants().filter(|node| node.has_tag_name("text") && !node.has_attribute("transform"));
    let word = |node: resvg::usvg::roxmltree::Node<'_, '_>| {
        let number = |name: &str| node.attribute(name).and_then(|text| text.parse::<f64>().ok()).expect(name);
        let (text, size) = (node.text().unwrap_or_default().to_owned(), number("font-size"));
        let width = font::width(&text, size, node.has_attribute("font-weight"));
        let left = number("x")
            - match node.attribute("text-anchor") {
                Some("middle") => width / 2.0,
                Some("end") => width,
                _ => 0.0,
            };
        (text, [left, number("y") - 0.72 * size, left + width, number("y") + 0.2 * size])
    };
    texts.map(word).collect()
}

#[test]
fn every_chart_is_sound_xml_with_its_words() {
    for (name, canvas) in all() {
        let svg = canvas.svg(true);
        let words = words(&svg);
        for wanted in ["10,000 requests on <3> servers", "requests & shares", "seed 1"] {
            assert!(words.iter().any(|(text, _)| text == wanted), "{name}: no '{wanted}'");
        }
        assert!(svg.contains("prefers-color-scheme:dark"));
    }
}

#[test]
fn no_words_lie_on_others_or_beyond_the_page() {
    for (name, canvas) in all() {
        let (width, height) = canvas.size();
        let words = words(&canvas.svg(true));
        for (index, (text, a)) in words.iter().enumerate() {
            assert!(a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= width && a[3] <= height, "{name}: '{text}' {a:?}");
            for (other, b) in &words[..index] {
                let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
                assert!(apart, "{name}: '{text}' {a:?} lies on '{other}' {b:?}");
            }
        }
    }
}

#[test]
fn a_hundred_bars_have_every_tenth_label() {
    let words: Vec<String> = words(&bars(100).svg(false)).into_iter().map(|(text, _)| text).collect();
    for label in ["1", "10", "50", "100"] {
        assert!(words.iter().any(|text| text == label), "no '{label}' among {words:?}");
    }
}

#[test]
fn pixels_are_twice_as_many_as_units_and_not_all_white() {
    let picture = Picture::of(&bars(3)).expect("a picture");
    let pixmap = resvg::tiny_skia::Pixmap::decode_png(&picture.png).expect("a PNG");
    assert_eq!(pixmap.width(), 1920);
    let blue = |pixel: &resvg::tiny_skia::PremultipliedColorU8| {
        (pixel.red(), pixel.green(), pixel.blue()) == (0x00, 0x72, 0xb2)
    };
    assert!(
        pixmap.pixels().iter().filter(|pixel| blue(pixel)).count() > 10_000,
        "the first server's bar is blue"
    );
    let ink = pixmap.pixels().iter().filter(|pixel| pixel.red() < 80 && pixel.green() < 80).count();
    assert!(ink > 2_000, "the letters are drawn");
}
