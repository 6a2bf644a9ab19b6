//! Who is what.

use super::super::super::grant::CLOCK_TOLERANCE_S;
use super::*;
use Standing::{Admin, Member, Revoked, Stranger};

#[test]
fn the_root_names_admins_and_admins_admit_members() {
    let team = lab();
    for (node, expected) in [
        (ANN, Admin),
        (BOB, Admin),
        (MIA, Member),
        (NED, Member),
        (OLA, Stranger),
        (ROOT, Stranger),
    ] {
        assert_eq!(standing(&team, node), expected, "{node}");
    }
    let mia = team.members().into_iter().find(|m| m.node == key(MIA));
    let expected = super::Member {
        node: key(MIA),
        name: "node-11".to_owned(),
        is_admin: false,
        admitted_by: key(ANN),
        admitted_unix_s: NOW,
        expires_unix_s: None,
        revoked_by: None,
    };
    assert_eq!(mia, Some(expected));
}

#[test]
fn each_says_only_what_it_may() {
    let mut team = lab();
    for (author, action, reason) in [
        (ANN, name_admin(CARL), Reason::NotPermitted),
        (MIA, admit(OLA), Reason::NotPermitted),
        (MIA, revoke(NED, None), Reason::NotPermitted),
        (MIA, revoke(ANN, None), Reason::NotPermitted),
        (MIA, epoch(1, 1), Reason::NotPermitted),
        (OLA, admit(OLA), Reason::UnknownAuthor),
        (OLA, revoke(OLA, None), Reason::UnknownAuthor),
        (ROOT, revoke(ROOT, None), Reason::NotPermitted),
    ] {
        let signed = said(&team, author, action.clone());
        let merged = team.merge([signed]);
        assert_eq!(reasons(&merged), [reason], "{author} {action:?}");
        assert!(merged.new.is_empty() && merged.changed.is_empty());
    }
    assert_eq!(team, lab());
}

#[test]
fn an_operation_is_of_one_team_and_one_author() {
    let mut team = lab();
    let good = said(&team, ANN, admit(OLA));
    let mut elsewhere = good.operation.clone();
    elsewhere.team = TeamId::of(key(CARL).as_bytes());
    let elsewhere = SignedOperation::sign(elsewhere, &keypair(ANN));
    let mut by_bob = good.clone();
    by_bob.operation.author = key(BOB);
    let mut changed = good.clone();
    changed.operation.when_unix_s += 1;
    for (forged, reason) in [
        (elsewhere, Reason::OtherTeam),
        (by_bob, Reason::Signature),
        (changed, Reason::Signature),
    ] {
        assert_eq!(reasons(&team.merge([forged])), [reason]);
    }
    assert_eq!(team.merge([good.clone()]).new, [good.id()]);
    assert_eq!(team.merge([good]), Merged::default(), "it is known");
}

#[test]
fn a_revoked_member_stays_revoked_whoever_admits_it_again() {
    let mut team = lab();
    let revocation = said(&team, BOB, revoke(MIA, None));
    let merged = team.merge([revocation]);
    assert_eq!(merged.changed, [key(MIA)]);
    assert_eq!(standing(&team, MIA), Revoked);
    say(&mut team, ANN, admit(MIA));
    say(&mut team, ROOT, admit(MIA));
    assert_eq!(standing(&team, MIA), Revoked);
    let mia = team.members().into_iter().find(|m| m.node == key(MIA));
    assert_eq!(mia.and_then(|mia| mia.revoked_by), Some(key(BOB)));
}

#[test]
fn a_revocation_that_comes_before_the_admission_wins_all_the_same() {
    let mut team = lab();
    say(&mut team, ANN, revoke(OLA, None));
    say(&mut team, BOB, admit(OLA));
    assert_eq!(standing(&team, OLA), Revoked);
}

#[test]
fn only_the_root_and_itself_revoke_an_admin() {
    let mut team = lab();
    say(&mut team, BOB, revoke(ANN, None));
    assert_eq!(standing(&team, ANN), Admin);
    say(&mut team, ANN, revoke(ANN, None));
    assert_eq!(standing(&team, ANN), Revoked);
    assert_eq!(standing(&team, MIA), Member, "what came before goes on");
    let after = said(&team, ANN, admit(OLA));
    assert_eq!(reasons(&team.merge([after])), [Reason::Left]);
}

#[test]
fn whom_an_admin_revoked_the_root_can_name() {
    let mut team = lab();
    say(&mut team, ANN, revoke(NED, None));
    assert_eq!(standing(&team, NED), Revoked);
    say(&mut team, ROOT, name_admin(NED));
    assert_eq!(standing(&team, NED), Admin);
    say(&mut team, ROOT, revoke(NED, None));
    assert_eq!(standing(&team, NED), Revoked);
}

#[test]
fn a_member_leaves() {
    let mut team = lab();
    say(&mut team, MIA, revoke(MIA, None));
    assert_eq!(standing(&team, MIA), Revoked);
    let mia = team.members().into_iter().find(|m| m.node == key(MIA));
    assert_eq!(mia.and_then(|mia| mia.revoked_by), Some(key(MIA)));
}

#[test]
fn what_a_revoked_admin_said_counts_up_to_the_cut_off() {
    let mut team = lab();
    let upto = say(&mut team, ANN, admit(OLA));
    say(&mut team, ANN, admit(CARL));
    say(&mut team, ANN, revoke(NED, None));
    let merged = team.merge([said(&team, ROOT, revoke(ANN, Some(cut_at(&upto))))]);
    assert_eq!(merged.dropped.len(), 2);
    let mut changed = vec![key(ANN), key(CARL), key(NED)];
    changed.sort();
    assert_eq!(merged.changed, changed);
    for (node, expected) in [
        (ANN, Revoked),
        (MIA, Member),
        (OLA, Member),
        (CARL, Stranger),
        (NED, Member),
    ] {
        assert_eq!(standing(&team, node), expected, "{node}");
    }
    let more = branch(ANN, Some(&upto), admit(CARL));
    assert_eq!(reasons(&team.merge([more])), [Reason::Cut]);
}

#[test]
fn a_copied_key_cannot_slip_beneath_the_cut_off() {
    let mut team = lab();
    let upto = say(&mut team, ANN, admit(OLA));
    say(&mut team, ROOT, revoke(ANN, Some(cut_at(&upto))));
    let backdated = branch(ANN, None, admit(CARL));
    assert_eq!(reasons(&team.merge([backdated])), [Reason::Cut]);
    assert_eq!(standing(&team, CARL), Stranger);
}

#[test]
fn of_two_cut_offs_the_earlier_holds() {
    for swapped in [false, true] {
        let mut team = lab();
        let early = team.last_of(&key(ANN));
        say(&mut team, ANN, admit(OLA));
        let late = team.last_of(&key(ANN));
        let mut cuts = [early, late];
        if swapped {
            cuts.reverse();
        }
        for cut in cuts {
            say(&mut team, ROOT, revoke(ANN, cut));
        }
        assert_eq!(standing(&team, OLA), Stranger);
        assert_eq!(standing(&team, MIA), Member);
        say(&mut team, ROOT, revoke(ANN, None));
        assert_eq!(standing(&team, MIA), Stranger);
    }
}

#[test]
fn until_the_cut_off_is_known_a_revoked_admins_admissions_do_not_count() {
    let whole = lab();
    let last = said(&whole, ANN, admit(OLA));
    let revocation = said(&whole, ROOT, revoke(ANN, Some(cut_at(&last))));
    let mut team = whole.clone();
    team.merge([revocation]);
    assert_eq!(standing(&team, MIA), Stranger);
    team.merge([last]);
    assert_eq!(standing(&team, MIA), Member);
    assert_eq!(standing(&team, OLA), Member);
}

#[test]
fn an_admission_for_a_time_ends_and_can_be_prolonged() {
    let mut team = lab();
    let end = NOW + 1000;
    say(&mut team, ANN, admit_until(OLA, Some(end)));
    let at = |team: &Team, now| team.standing(&key(OLA), now);
    assert_eq!(at(&team, end + CLOCK_TOLERANCE_S), Member);
    assert_eq!(at(&team, end + CLOCK_TOLERANCE_S + 1), Stranger);
    say(&mut team, BOB, admit_until(OLA, Some(end + 5000)));
    say(&mut team, ANN, admit_until(OLA, Some(end + 10)));
    assert_eq!(at(&team, end + 5000), Member);
    let ola = team.members().into_iter().find(|m| m.node == key(OLA));
    assert_eq!(ola.and_then(|ola| ola.expires_unix_s), Some(end + 5000));
    say(&mut team, ANN, admit(OLA));
    assert_eq!(at(&team, u64::MAX), Member);
}

#[test]
fn the_next_end_is_the_first_of_those_who_do_not_stay() {
    let mut team = lab();
    assert_eq!(team.next_end(NOW), None);
    let [soon, later] = [NOW + 10, NOW + 1000];
    say(&mut team, ANN, admit_until(OLA, Some(later)));
    say(&mut team, ANN, admit_until(MIA, Some(soon)));
    let over = |end| Some(end + CLOCK_TOLERANCE_S + 1);
    assert_eq!(
        team.next_end(NOW),
        over(later),
        "one stays by another admission"
    );
    assert_eq!(standing(&team, MIA), Member);
    say(&mut team, ANN, admit_until(PIA, Some(soon)));
    assert_eq!(team.next_end(NOW), over(soon));
    let at = soon + CLOCK_TOLERANCE_S + 1;
    assert_eq!(team.standing(&key(PIA), at - 1), Member);
    assert_eq!(team.standing(&key(PIA), at), Stranger);
    assert_eq!(team.next_end(at), over(later));
    say(&mut team, ANN, admit(OLA));
    assert_eq!(team.next_end(at), None);
}

#[test]
fn the_highest_epoch_is_in_force() {
    let mut team = lab();
    assert_eq!(team.epoch(), None);
    say(&mut team, ANN, epoch(1, 1));
    let second = say(&mut team, BOB, epoch(2, 2));
    let merged = team.merge([said(&team, ANN, epoch(1, 9))]);
    assert!(!merged.epoch_changed);
    assert!(matches!(second.operation.action, Action::Epoch(e) if Some(e) == team.epoch()));
    let in_force = team.epoch().expect("begun");
    let secret = EpochSecret::from_bytes([2; 32]);
    assert!(in_force.is_of(&team.id(), &secret));
    assert!(!in_force.is_of(&team.id(), &EpochSecret::from_bytes([1; 32])));
    let (third, other) = (said(&team, ANN, epoch(3, 3)), said(&team, BOB, epoch(3, 4)));
    assert!(team.merge([third.clone(), other.clone()]).epoch_changed);
    let mut twin = lab();
    twin.merge([other, third]);
    assert_eq!(twin.epoch(), None, "their predecessors are missing");
    twin.merge(all_of(&team));
    assert_eq!(twin.epoch(), team.epoch());
}

#[test]
fn what_a_later_version_says_is_kept_and_gives_nothing() {
    let mut team = lab();
    let before: Vec<_> = team.members();
    let by_admin = say(&mut team, ANN, later_action(77));
    let by_member = say(&mut team, MIA, later_action(78));
    assert_eq!(team.members(), before);
    let bytes = by_member.to_bytes();
    assert_eq!(SignedOperation::from_bytes(&bytes).ok(), Some(by_member));
    let told: Vec<_> = lab_heads_lack(&team);
    assert!(told.contains(&by_admin.id()), "it is passed on");
    say(&mut team, ANN, admit(OLA));
    assert_eq!(standing(&team, OLA), Member, "the chain goes on behind it");
}

fn lab_heads_lack(team: &Team) -> Vec<OperationId> {
    let batches = team.lacking(&lab().heads()).into_iter();
    let operations = batches.flat_map(Batch::into_operations);
    operations.map(|signed| signed.id()).collect()
}
