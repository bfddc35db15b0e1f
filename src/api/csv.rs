//! The statistics of pools as HAProxy 2.6 writes them, so that what reads HAProxy reads us: its management guide,
//! section 9.1, says what each column means. What is not known here is empty.

use std::{
    fmt::Display,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::{
    extract::State,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use crate::{
    fleet::{Handle, Pools, Reading, Row, RowState, Traffic, View},
    table::Spread,
};

/// The columns in their order.
const HEADER: &str = "\
    pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,\
    weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,\
    rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,\
    hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,\
    comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,\
    agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,\
    agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,\
    connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,\
    eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,\
    agg_server_check_status,agg_check_status,-,ssl_sess,ssl_reused_sess,ssl_failed_handshake,\
    h2_headers_rcvd,h2_data_rcvd,h2_settings_rcvd,h2_rst_stream_rcvd,h2_goaway_rcvd,\
    h2_detected_conn_protocol_errors,h2_detected_strm_protocol_errors,h2_rst_stream_resp,h2_goaway_resp,\
    h2_open_connections,h2_backend_open_streams,h2_total_connections,h2_backend_total_streams,\
    h1_open_connections,h1_open_streams,h1_total_connections,h1_total_streams,h1_bytes_in,h1_bytes_out,\
    h1_spliced_bytes_in,h1_spliced_bytes_out,";

/// The fields of a line by their columns; the others are empty.
struct Line(Vec<(&'static str, String)>);

/// Answers `/stats;csv`.
pub(super) async fn stats(State(pools): State<Pools>) -> Response {
    let head = [(CONTENT_TYPE, "text/plain"), (CACHE_CONTROL, "no-cache")];
    let views: Vec<_> = pools.all().values().map(Handle::view).collect();
    (head, csv(&views)).into_response()
}

/// What these pools did: of each a line for each desired replica, in the order of joining, and one for the pool.
/// Numbers that are counted are of a replica's present instance, and of all instances of a pool.
pub fn csv(views: &[Arc<View>]) -> String {
    at(SystemTime::now(), views)
}

fn at(now: SystemTime, views: &[Arc<View>]) -> String {
    let mut text = format!("# {HEADER}\n");
    for (place, view) in views.iter().enumerate() {
        let readings = view.read();
        let rows = view.rows.iter().zip(&readings.rows).filter(|(row, _)| row.state != RowState::Leaving);
        rows.for_each(|(row, reading)| Line::of_replica(view, place, row, reading, now).write(&mut text));
        Line::of_pool(view, place, &readings.total).write(&mut text);
    }
    text
}

impl Line {
    fn of_replica(view: &View, place: usize, row: &Row, reading: &Reading, now: SystemTime) -> Self {
        let counts = &reading.counts;
        let (rate, most) = row.traffic.as_ref().map(Traffic::rates).unwrap_or_default();
        let mut line = Line::of(view, place, row.name.as_str(), reading);
        line.put("qcur", row.traffic.as_ref().map_or(0, Traffic::waiting));
        line.put("smax", counts.peak);
        line.put("stot", counts.dispatched());
        line.put("status", status(&row.state));
        line.put("weight", row.weight.get());
        line.put("act", 1);
        line.put("lastchg", now.duration_since(row.since).unwrap_or_default().as_secs());
        line.put("sid", row.number.get());
        line.put("type", 2);
        line.put("rate", rate);
        line.put("rate_max", most);
        line.put("addr", row.address.map(|address| address.to_string()).unwrap_or_default());
        line.put("uweight", row.weight.get());
        line
    }

    fn of_pool(view: &View, place: usize, total: &Reading) -> Self {
        let counts = &total.counts;
        let up = || view.desired().filter(|row| status(&row.state) == "UP");
        let weight: u64 = up().map(|row| u64::from(row.weight.get())).sum();
        let rates = view.desired().filter_map(|row| Some(row.traffic.as_ref()?.rates().0));
        let mut line = Line::of(view, place, "BACKEND", total);
        line.put("stot", counts.dispatched() - counts.retries.min(counts.dispatched()));
        line.put("status", if up().next().is_some() { "UP" } else { "DOWN" });
        line.put("weight", weight);
        line.put("act", up().count());
        line.put("qcur", view.queue.as_ref().map_or(0, |queue| queue.stats().length));
        line.put("sid", 0);
        line.put("type", 1);
        line.put("rate", rates.sum::<u32>());
        line.put("algo", view.policy);
        line.put("uweight", weight);
        line
    }

    /// What both have.
    fn of(view: &View, place: usize, name: &str, Reading { counts, times }: &Reading) -> Self {
        let mut line = Line(Vec::with_capacity(40));
        line.put("pxname", &view.pool);
        line.put("svname", name);
        line.put("scur", counts.pending());
        line.put("econ", counts.unreached);
        line.put("eresp", counts.unanswered + counts.truncated);
        line.put("wredis", counts.retries);
        line.put("bck", 0);
        line.put("pid", 1);
        line.put("iid", place + 1);
        line.put("lbtot", counts.dispatched());
        let answers = ["hrsp_other", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx"];
        answers.into_iter().zip(counts.answers).for_each(|(column, count)| line.put(column, count));
        line.put("srv_abrt", counts.truncated);
        let ms = |time: fn(&Spread) -> Option<Duration>| {
            (time(times).unwrap_or_default().as_secs_f64() * 1e3).round()
        };
        line.put("rtime", ms(Spread::mean));
        line.put("rtime_max", ms(Spread::longest));
        line.put("mode", "http");
        line.put("-", "-");
        line
    }

    fn put(&mut self, column: &'static str, value: impl Display) {
        self.0.push((column, value.to_string()));
    }

    fn write(&self, text: &mut String) {
        for column in HEADER.split_terminator(',') {
            let field = self.0.iter().find(|(of, _)| *of == column).map_or("", |(_, value)| value.as_str());
            text.push_str(&quoted(field));
            text.push(',');
        }
        text.push('\n');
    }
}

/// A field as a CSV has it (RFC 4180).
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

/// HAProxy's word for it: `NOLB` is one that is up and gets nothing while others can.
fn status(state: &RowState) -> &'static str {
    match state {
        RowState::Ready | RowState::Suspected => "UP",
        RowState::Ejected(_) => "NOLB",
        RowState::Drained => "DRAIN",
        RowState::Leaving => "MAINT",
        RowState::Starting | RowState::Down(_) | RowState::CrashLooping(_) => "DOWN",
    }
}
