//! What may be offered on.

use super::*;

fn offered(world: &World, artifact: &Artifact) -> Coverage {
    let row = world.store.view().snapshot(&artifact.id());
    row.expect("readable").expect("known").offered
}

#[test]
fn bytes_of_another_audience_fill_the_file_but_are_not_offered() {
    let world = World::new();
    let secret = noise(1, 1_000_000);
    let artifact = Artifact::file("secret", secret.clone());
    world.get(&artifact).expect("received");
    // Another peer names the same chunks in an artifact of its own.
    let mut forged = noise(2, 300_000);
    forged.extend_from_slice(&secret);
    let forged = Artifact::file("forged", forged);
    world.announce(&forged);
    let mut request = world.request(&forged);
    request.dest = world.base.join("forged");
    request.audience = AudienceId(8);
    let (received, sent) = world.get_as(&forged, request).expect("received");
    assert!(received.progress.bytes_reused > 600_000, "{received:?}");
    let Coverage::Ranges(ranges) = offered(&world, &forged) else {
        panic!("not all of it may be offered");
    };
    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    assert_eq!(total, sent, "exactly what came over the wire is offered");
}

#[test]
fn bytes_of_the_same_audience_are_offered() {
    let world = World::new();
    let first = Artifact::file("first", noise(1, 1_000_000));
    world.get(&first).expect("received");
    let mut bytes = noise(1, 1_000_000);
    bytes.extend(noise(2, 300_000));
    let second = Artifact::file("second", bytes);
    let mut request = world.request(&second);
    request.dest = world.base.join("second");
    let (_, sent) = world.get_as(&second, request).expect("received");
    assert!(sent < 600_000, "{sent} bytes sent");
    assert_eq!(offered(&world, &second), Coverage::Complete);
}
