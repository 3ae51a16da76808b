//! P10: whatever is changed, dropped, repeated or reordered, in an export or in the database, is found.

use preloop_store::{
    ExportOptions, Keys, RecordFilter, each_store,
    proof::{Content, Footer, Inclusion, RecordLine, VerifyReport, verify},
    testing::{self, TestStore},
};
use preloop_types::{AccountId, EntryKind};

use crate::{entry, exported, raw, with_payload};

/// Three checkpoints over twelve records, some with payloads.
async fn filled(store: &TestStore) -> AccountId {
    let account = store.owner("ann").await.account;
    for _ in 0..3 {
        store.append(with_payload(account, "arguments")).await.unwrap();
        for _ in 0..2 {
            store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        }
        store.account(account).checkpoint().await.unwrap();
    }
    account
}

fn lines(export: &str) -> Vec<&str> {
    export.split_inclusive('\n').collect()
}

fn check(text: &str) -> VerifyReport {
    verify(text.as_bytes(), None)
}

each_store! {
    async fn p10_an_export_verifies_offline(store) {
        let account = filled(&store).await;
        let export = exported(&store, account, true).await;
        let report = verify(export.as_bytes(), Some(store.signing_public()));
        assert!(report.ok, "{report:?}");
        assert_eq!((report.account, report.chains, report.checkpoints, report.unsealed), (Some(account), 1, 3, 0));
        assert_eq!((report.records, report.payloads, report.key_expected), (12, 3, true));
        let live = store.account(account).verify_journal().await.unwrap();
        assert!(live.ok && live.records == 12 && live.checkpoints == 3 && live.payloads == 3, "{live:?}");

        let bare = exported(&store, account, false).await;
        assert!(check(&bare).ok && check(&bare).payloads == 0 && !bare.contains("salt"));
        let other = Keys::derive(b"another").signing_public();
        assert!(!verify(export.as_bytes(), Some(other)).ok, "signed by somebody else");
    }

    async fn p10_a_part_verifies_and_begins_and_ends_at_checkpoints(store) {
        use futures::TryStreamExt as _;
        let account = store.owner("ann").await.account;
        let mut times = Vec::new();
        for _ in 0..4 {
            store.clock().advance(std::time::Duration::from_secs(10));
            times.push(store.now());
            for _ in 0..3 {
                store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
            }
            store.account(account).checkpoint().await.unwrap();
        }
        let options = ExportOptions { since: Some(times[1]), until: Some(times[3]), payloads: false };
        let part: String = store.account(account).export(options).try_collect::<Vec<_>>().await.unwrap().concat();
        let report = check(&part);
        assert!(report.ok, "{report:?}");
        assert_eq!((report.records, report.checkpoints), (6, 2));
        let none = ExportOptions { since: Some(store.now() + std::time::Duration::from_secs(1)), ..options };
        let none: String = store.account(account).export(ExportOptions { until: None, ..none }).try_collect::<Vec<_>>().await.unwrap().concat();
        assert!(check(&none).ok && check(&none).records == 0);
    }

    async fn p10_one_record_is_proven_alone(store) {
        let account = filled(&store).await;
        let view = store.account(account);
        for record in view.records(RecordFilter::default()).await.unwrap() {
            let proof = view.inclusion(record.chain, record.seq).await.unwrap().unwrap();
            let text = serde_json::to_string(&proof).unwrap();
            let mut proof: Inclusion = serde_json::from_str(&text).unwrap();
            proof.verify(Some(store.signing_public())).unwrap();
            assert!(proof.verify(Some(Keys::derive(b"another").signing_public())).is_err());
            proof.record.body = raw(r#"{"tool":"play"}"#);
            assert!(proof.verify(None).is_err());
            let mut moved: Inclusion = serde_json::from_str(&text).unwrap();
            moved.path.reverse();
            moved.checkpoint.number += 1;
            assert!(moved.verify(None).is_err());
        }
        store.append(entry(account, EntryKind::CallRefused, None)).await.unwrap();
        let unsealed = view.inclusion(store.writer(), 13).await.unwrap();
        assert!(unsealed.is_none(), "not under a checkpoint yet");
    }

    async fn p10_tampering_with_the_database_is_found(store) {
        let account = filled(&store).await;
        // What an intruder does, and how it can be undone for the next try.
        let tries = [
            ("UPDATE records SET body = '{}' WHERE seq = 5", "the content of record 5 does not match its hash"),
            ("UPDATE records SET kind = 'call.outcome' WHERE seq = 5", "the content of record 5 does not match its hash"),
            ("UPDATE records SET at = at - 1 WHERE seq = 5", "the content of record 5 does not match its hash"),
            ("UPDATE records SET call_id = NULL WHERE seq = 4", "the content of record 4 does not match its hash"),
            ("UPDATE records SET payload_hash = row_hash WHERE seq = 4", "the content of record 4 does not match its hash"),
            ("UPDATE records SET row_hash = prev_hash WHERE seq = 5", "the content of record 5 does not match its hash"),
            ("DELETE FROM records WHERE seq = 5", "record 6 where record 5 belongs"),
            ("DELETE FROM records WHERE seq > 10", "the chain ends before record 11, but it has 12"),
            ("DELETE FROM records", "the chain ends before record 1, but it has 12"),
            ("UPDATE records SET seq = 100 WHERE seq = 5", "record 6 where record 5 belongs"),
            ("DELETE FROM checkpoints WHERE number = 1", "checkpoint 2 where checkpoint 1 belongs"),
            ("DELETE FROM checkpoints WHERE number = 2", "checkpoint 3 where checkpoint 2 belongs"),
            ("UPDATE checkpoints SET root = previous WHERE number = 2", "the signature of checkpoint 2 is wrong"),
            ("UPDATE checkpoints SET at = at + 1 WHERE number = 3", "the signature of checkpoint 3 is wrong"),
        ];
        for (what, expected) in tries {
            store.tamper("CREATE TABLE kept_records AS SELECT * FROM records").await.unwrap();
            store.tamper("CREATE TABLE kept_checkpoints AS SELECT * FROM checkpoints").await.unwrap();
            assert!(store.tamper(what).await.unwrap() > 0, "{what}");
            let report = store.account(account).verify_journal().await.unwrap();
            let said = report.broken.as_ref().map(|broken| broken.what.as_str());
            assert_eq!((report.ok, said), (false, Some(expected)), "{what}");
            for table in ["records", "checkpoints"] {
                store.tamper(&format!("DELETE FROM {table}")).await.unwrap();
                store.tamper(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await.unwrap();
                store.tamper(&format!("DROP TABLE kept_{table}")).await.unwrap();
            }
        }
        assert!(store.account(account).verify_journal().await.unwrap().ok);
    }

    async fn p10_a_swapped_payload_is_found(store) {
        let account = filled(&store).await;
        let swap = "UPDATE records SET payload = (SELECT r.payload FROM records r WHERE r.seq = 7) WHERE seq = 4";
        assert_eq!(store.tamper(swap).await.unwrap(), 1);
        assert!(!store.account(account).verify_journal().await.unwrap().ok);
        assert!(store.account(account).record_payload(store.writer(), 4).await.is_err());
    }
}

#[tokio::test]
async fn p10_every_tampering_with_an_export_is_found() {
    let store = testing::fresh_sqlite().await;
    let account = filled(&store).await;
    let export = exported(&store, account, true).await;
    let all = lines(&export);
    assert_eq!(all.len(), 1 + 12 + 3 + 1, "header, records, checkpoints, footer");
    let found = |text: &str, what: &str| {
        let report = check(text);
        assert!(!report.ok && report.broken.is_some(), "{what} was not found");
        report.broken.unwrap()
    };

    for i in 0..all.len() {
        let line = i as u64 + 1;
        let without: String = [&all[..i], &all[i + 1..]].concat().concat();
        let broken = found(&without, "a dropped line");
        assert!(broken.line >= line.min(2) - 1, "{broken:?}");
        found(&[&all[..=i], &all[i..]].concat().concat(), "a repeated line");
        if i + 1 < all.len() {
            let mut swapped = all.clone();
            swapped.swap(i, i + 1);
            found(&swapped.concat(), "two lines in the other order");
        }
        found(&all[..i].concat(), "a cut-off tail");
        let half = all[i].len() / 2;
        found(&(all[..i].concat() + &all[i][..half]), "a line cut in half");
        for at in (i % 29..all[i].len()).step_by(29) {
            let mut bytes = export.clone().into_bytes();
            let offset = all[..i].concat().len() + at;
            bytes[offset] ^= 1;
            let report = verify(&bytes[..], None);
            assert!(!report.ok, "a changed byte {at} in line {line} was not found");
        }
        // A change that leaves the same JSON.
        let spaced = format!("{}{}{}", all[..i].concat(), all[i].replacen(':', ": ", 1), all[i + 1..].concat());
        found(&spaced, "added white space");
    }
    found(&(export.clone() + "\n"), "something after the end");
    found(export.trim_end(), "a missing last line feed");
    found("", "an empty file");
    found("not a journal\n", "another file");
}

#[tokio::test]
async fn p10_the_first_break_is_named() {
    let store = testing::fresh_sqlite().await;
    let account = filled(&store).await;
    let export = exported(&store, account, true).await;
    let all = lines(&export);
    // Line 1 is the header; records 1 to 6 are lines 2 to 7, checkpoint 1 is line 8.
    let broken = |text: String| check(&text).broken.unwrap();
    let changed =
        broken(all[..3].concat() + &all[3].replace(r#""config_type""#, r#""config_tipe""#) + &all[4..].concat());
    assert_eq!((changed.line, changed.seq), (4, Some(3)));
    assert_eq!(changed.what, "the content of record 3 does not match its hash");
    let dropped = broken(all[..3].concat() + &all[4..].concat());
    assert_eq!((dropped.line, dropped.what.as_str()), (4, "record 4 where record 3 belongs"));
    let tail = broken(all[..10].concat());
    assert_eq!(tail.what, "the export ends without its footer: its tail is missing");
}

/// Somebody who knows the format recomputes every hash, but cannot sign.
#[tokio::test]
async fn p10_a_rewritten_history_fails_at_the_checkpoint() {
    let store = testing::fresh_sqlite().await;
    let account = filled(&store).await;
    let export = exported(&store, account, false).await;
    let mut head = None;
    let mut forged = String::new();
    for line in export.lines() {
        if !line.starts_with(r#"{"type":"record""#) {
            forged.extend([line, "\n"]);
            continue;
        }
        let mut record: RecordLine = serde_json::from_str(line).unwrap();
        if record.seq == 5 {
            record.body = raw(r#"{"tool":"harmless"}"#);
        }
        record.prev_hash = head.unwrap_or(record.prev_hash);
        record.row_hash = Content {
            account,
            chain: record.chain,
            seq: record.seq,
            at: record.at,
            kind: &record.kind,
            call: record.call,
            subject: record.subject,
            body: record.body.get(),
            payload_hash: record.payload_hash,
            prev_hash: record.prev_hash,
        }
        .hash();
        head = Some(record.row_hash);
        forged.extend([&serde_json::to_string(&record).unwrap(), "\n"]);
    }
    let report = check(&forged);
    assert_eq!(report.broken.unwrap().what, "the records under checkpoint 1 are not the ones it signed");
    assert!(serde_json::from_str::<Footer>(export.lines().last().unwrap()).is_ok());
}
