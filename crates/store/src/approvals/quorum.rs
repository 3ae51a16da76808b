//! What votes come to: one rule, whatever order they arrive in.
//!
//! A *seat* is an approver, or whoever else was let vote (an administrator who overrides, the holder of
//! a link without a name). A vote fills one seat and no seat is filled twice. A request is approved as
//! soon as `required` seats said yes, and declined as soon as so many said no that those who did not
//! cannot make up a quorum any more.

use std::collections::HashSet;

use preloop_types::UserId;

use super::{ApprovalStatus, VoteCast, Voter};

/// What `votes` come to; `None` while more are needed.
pub(super) fn verdict(required: u32, approvers: &[UserId], votes: &[VoteCast]) -> Option<ApprovalStatus> {
    let required = required.max(1) as usize;
    let declined = votes.iter().filter(|vote| !vote.approve).count();
    let approved = votes.len() - declined;
    if approved >= required {
        return Some(ApprovalStatus::Approved);
    }
    let listed = approvers.iter().copied().map(Voter::User);
    let seats: HashSet<Voter> = listed.chain(votes.iter().map(VoteCast::seat)).collect();
    // Where there never were enough people, the first no ends it.
    (declined > 0 && seats.len() - declined < required).then_some(ApprovalStatus::Declined)
}

#[cfg(test)]
mod tests {
    use preloop_types::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn person(n: u8) -> UserId {
        UserId(Uuid::from_u128(n.into()))
    }

    fn vote(who: u8, approve: bool) -> VoteCast {
        VoteCast {
            voter: Voter::User(person(who)),
            on_behalf_of: None,
            overriding: false,
            approve,
            comment: None,
            via: "api".to_owned(),
            shown: None,
            at: Timestamp::from_micros(0),
        }
    }

    /// Casts what arrives, as the store does: once for each person, and nothing after the end.
    fn run(required: u32, approvers: &[UserId], arriving: &[(u8, bool)]) -> (Option<ApprovalStatus>, Vec<VoteCast>) {
        let mut cast: Vec<VoteCast> = Vec::new();
        for &(who, approve) in arriving {
            let new = vote(who, approve);
            if cast.iter().any(|earlier| earlier.seat() == new.seat()) {
                continue;
            }
            cast.push(new);
            let end = verdict(required, approvers, &cast);
            if end.is_some() {
                return (end, cast);
            }
        }
        (None, cast)
    }

    proptest! {
        /// The rule in other words: walk the votes; the first of "enough said yes" and "too many said no"
        /// is the end.
        #[test]
        fn approved_iff_a_quorum_of_different_people_says_yes_before_too_many_say_no(
            required in 1_u32..=10,
            people in 1_u8..=12,
            arriving in prop::collection::vec((0_u8..12, any::<bool>()), 0..40),
        ) {
            let approvers: Vec<_> = (0..people).map(person).collect();
            let arriving: Vec<_> = arriving.into_iter().map(|(who, yes)| (who % people, yes)).collect();
            let (mut yes, mut no) = (HashSet::new(), HashSet::new());
            let mut expected = None;
            for (who, approve) in &arriving {
                if expected.is_none() && !yes.contains(who) && !no.contains(who) {
                    if *approve { yes.insert(who) } else { no.insert(who) };
                    if yes.len() >= required as usize {
                        expected = Some(ApprovalStatus::Approved);
                    } else if !no.is_empty() && usize::from(people) - no.len() < required as usize {
                        expected = Some(ApprovalStatus::Declined);
                    }
                }
            }
            prop_assert_eq!(run(required, &approvers, &arriving).0, expected);
        }

        /// Among the votes that were counted, the order does not matter.
        #[test]
        fn the_end_does_not_depend_on_the_order_of_the_votes_that_count(
            required in 1_u32..=6,
            people in 1_u8..=8,
            arriving in prop::collection::vec((0_u8..8, any::<bool>()), 0..20),
        ) {
            let approvers: Vec<_> = (0..people).map(person).collect();
            let (end, mut cast) = run(required, &approvers, &arriving);
            cast.reverse();
            prop_assert_eq!(verdict(required, &approvers, &cast), end);
        }
    }

    #[test]
    fn a_delegate_fills_the_seat_of_whom_they_stand_in_for() {
        let approvers = [person(1), person(2)];
        let delegate = VoteCast { on_behalf_of: Some(person(1)), ..vote(9, false) };
        assert_eq!(verdict(1, &approvers, std::slice::from_ref(&delegate)), None, "the other can still say yes");
        assert_eq!(verdict(2, &approvers, &[delegate]), Some(ApprovalStatus::Declined));
    }
}
