//! The course of the demo: share, fetch, carry on without the source, survive a kill, edit,
//! update.
//!
//! Owns: the order of the steps and what is measured. Refuses: how they look (`report`) and
//! that they leave nothing behind (`stage`).

use std::path::Path;
use std::time::Instant;

use shoal_node::api::{Got, Shared, Status};

use crate::demo::node::Node;
use crate::demo::report::{Report, short_ticket};
use crate::demo::stage::Stage;
use crate::demo::{data, edit};
use crate::error::{Code, Failure};
use crate::ui::format;

/// The room that is needed, in sizes of the data: three copies, one being made anew.
const COPIES: u64 = 5;

/// Tells it, with a copy of `path` or with made-up data.
pub async fn tell(
    stage: &mut Stage,
    report: &mut Report,
    path: Option<&Path>,
) -> Result<(), Failure> {
    let (a, b, c) = (
        Node::new(stage, "A")?,
        Node::new(stage, "B")?,
        Node::new(stage, "C")?,
    );
    let name = prepare(stage, report, &a, path).await?;
    let name = name.as_str();

    report.chapter("A shares it: one line, no copy, no server")?;
    let (shared, sharer) = share(stage, report, &a, name, "A shares it").await?;

    report.chapter("B fetches it from A, and stays up")?;
    report.command("B", "shoal up &")?;
    let (_, _): (Status, _) = b.start(stage, &["up"]).await?;
    get(report, &b, &shared.ticket, name, "B gets it from A").await?;

    report.chapter("A leaves; B serves what it fetched")?;
    report.command("A", "^C")?;
    stage.stop(sharer).await;
    report.command("B", &format!("shoal share {}", dotted(name)))?;
    let reshared: Shared = b.ask(&["share", &dotted(name)]).await?;
    report.result(&short_ticket(&reshared.ticket))?;

    report.chapter("C fetches it from B, is killed midway, and goes on")?;
    killed(report, &c, &reshared.ticket, name).await?;
    get(report, &c, &reshared.ticket, name, "C gets the rest from B").await?;
    compare(report, &a, &b, name).await?;
    compare(report, &a, &c, name).await?;

    report.chapter("A edits its copy and shares again; C fetches what changed")?;
    let edited = blocking(a.dir().join(name), |path| edit::make(&path)).await?;
    report.result(&edited)?;
    let (shared, _) = share(stage, report, &a, name, "A shares the new version").await?;
    get(report, &c, &shared.ticket, name, "C gets the new version").await?;
    compare(report, &a, &c, name).await?;

    let mut notes = vec![disk(&[&a, &b, &c], name)?];
    notes.push("Now yours: `shoal share PATH` here, `shoal get TICKET` there.".to_owned());
    report.end(&notes)
}

/// Puts the data into A's folder; gives its name there.
async fn prepare(
    stage: &Stage,
    report: &Report,
    a: &Node,
    path: Option<&Path>,
) -> Result<String, Failure> {
    let begun = Instant::now();
    let name = match path.map(|path| (path, path.file_name())) {
        None => "lab-data".to_owned(),
        Some((_, Some(name))) => name.to_string_lossy().into_owned(),
        Some((_, None)) => "data".to_owned(),
    };
    let target = a.dir().join(&name);
    let Some(source) = path.map(Path::to_owned) else {
        blocking(target.clone(), |target| data::make(&target)).await?;
        let (bytes, files) = blocking(target, |target| data::size(&target)).await?;
        let what = format!(
            "{} in {}",
            format::bytes(bytes),
            format::counted(files, "file")
        );
        let time = format::elapsed(begun.elapsed());
        report.chapter(&format!("Made-up data: {what}, in {time}"))?;
        report.result(&format!(
            "three nodes, A, B and C, each with a home in {}",
            stage.dir().display()
        ))?;
        return Ok(name);
    };
    let (bytes, files) = blocking(source.clone(), |source| data::size(&source)).await?;
    enough_room(stage.dir(), bytes)?;
    blocking(source, move |source| data::copy(&source, &target)).await?;
    let what = format!(
        "{} in {}",
        format::bytes(bytes),
        format::counted(files, "file")
    );
    report.chapter(&format!(
        "A copy of {name}: {what}, in {}",
        format::elapsed(begun.elapsed())
    ))?;
    report.result(&format!(
        "three nodes, A, B and C, each with a home in {}",
        stage.dir().display()
    ))?;
    Ok(name)
}

fn enough_room(dir: &Path, bytes: u64) -> Result<(), Failure> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| {
        Failure::io(
            format_args!("cannot look at {}", dir.display()),
            &error.into(),
        )
    })?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = bytes.saturating_mul(COPIES);
    if free >= needed {
        return Ok(());
    }
    let message = format!(
        "the demo needs {} in {} and {} are free",
        format::bytes(needed),
        dir.display(),
        format::bytes(free)
    );
    Err(Failure::new(Code::NoSpace, message)
        .hint("name something smaller, or a roomier place with TMPDIR"))
}

async fn share(
    stage: &mut Stage,
    report: &mut Report,
    node: &Node,
    name: &str,
    step: &str,
) -> Result<(Shared, Option<u32>), Failure> {
    report.command(node.name(), &format!("shoal share {}", dotted(name)))?;
    let begun = Instant::now();
    let (shared, id): (Shared, _) = node.start(stage, &["share", &dotted(name)]).await?;
    let time = begun.elapsed();
    report.result(&short_ticket(&shared.ticket))?;
    report.measured(step, None, shared.bytes, time)?;
    Ok((shared, id))
}

async fn get(
    report: &mut Report,
    node: &Node,
    ticket: &str,
    name: &str,
    step: &str,
) -> Result<(), Failure> {
    report.command(
        node.name(),
        &format!("shoal get {} {name}", short_ticket(ticket)),
    )?;
    let begun = Instant::now();
    let got: Got = node
        .ask(&["get", ticket, &dotted(name), "--timeout", "60s"])
        .await?;
    let time = begun.elapsed();
    let moved = format::bytes_of(got.wire_in, got.bytes);
    if got.bytes_reused > 0 {
        let here = format::bytes(got.bytes_reused);
        report.result(&format!("{here} of it were here already"))?;
    }
    report.result(&format!("moved {moved} in {}", format::elapsed(time)))?;
    report.measured(step, Some(got.wire_in), got.bytes, time)
}

async fn killed(report: &Report, node: &Node, ticket: &str, name: &str) -> Result<(), Failure> {
    report.command(
        node.name(),
        &format!("shoal get {} {name}", short_ticket(ticket)),
    )?;
    match node
        .kill_midway(&["get", ticket, &dotted(name), "--timeout", "60s"])
        .await?
    {
        Some(at) => report.result(&format!(
            "killed (kill -9) at {}",
            format::percent(at.bytes_done, at.bytes_total.unwrap_or_default())
        )),
        None => report.result("it was whole before it could be killed"),
    }
}

async fn compare(report: &Report, a: &Node, b: &Node, name: &str) -> Result<(), Failure> {
    let (left, right) = (a.dir().join(name), b.dir().join(name));
    let differs = blocking(left, move |left| edit::difference(&left, &right)).await?;
    match differs {
        None => report.result(&format!(
            "{} and {} have the same, byte for byte",
            a.name(),
            b.name()
        )),
        Some(path) => Err(Failure::new(
            Code::Integrity,
            format!(
                "{} differs between {} and {}",
                path.display(),
                a.name(),
                b.name()
            ),
        )),
    }
}

/// What the stores take beside the data.
fn disk(nodes: &[&Node], name: &str) -> Result<String, Failure> {
    let size = |path: &Path| {
        data::size(path)
            .map(|(bytes, _)| format::bytes(bytes))
            .map_err(|error| Failure::io(format_args!("cannot look at {}", path.display()), &error))
    };
    let mut parts = Vec::new();
    for node in nodes {
        let (data, store) = (size(&node.dir().join(name))?, size(&node.home())?);
        parts.push(format!("{}: {data} and a store of {store}", node.name()));
    }
    Ok(format!("On disk, no second copy: {}.", parts.join(" · ")))
}

/// A word that is a path to shoal, whatever it looks like.
fn dotted(name: &str) -> String {
    format!("./{name}")
}

async fn blocking<A: Send + 'static, T: Send + 'static>(
    argument: A,
    work: impl FnOnce(A) -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(move || work(argument))
        .await
        .map_err(|error| Failure::error(format!("a step of the demo broke: {error}")))?
        .map_err(|error| Failure::io("the demo's data", &error))
}
