//! Cases of PoPs: join tokens, generations of names, keys of the platform, the log of KV edits.

use super::*;
use crate::catalog::{JOIN_TOKEN_LIFE_MS, KvEdit, KvValue, NewJoinToken};
use zeroize::Zeroizing;

impl Bench {
    async fn join_token(&self, id: &str, new: NewJoinToken) -> Result<()> {
        let hash = BlobHash::of(id.as_bytes()).0;
        self.catalog
            .create_join_token(&self.caller, id.into(), hash, new)
            .await
            .map(drop)
    }

    async fn join(&self, id: &str, secret: &str, name: &str) -> Result<u32> {
        let hash = BlobHash::of(secret.as_bytes()).0;
        let joined = self
            .catalog
            .join_pop(id.into(), hash, name.into(), "eu".into(), "1".into())
            .await?;
        Ok(joined.value.generation)
    }
}

pub(super) async fn pops_join_once_and_are_revoked_by_generation(bench: &Bench) {
    let plain = NewJoinToken::default;
    bench.join_token("one", plain()).await.unwrap();
    assert!(matches!(
        bench.join("one", "other", "a").await,
        Err(CatalogError::Unauthenticated)
    ));
    assert!(matches!(
        bench.join("none", "none", "a").await,
        Err(CatalogError::Unauthenticated)
    ));
    assert!(matches!(
        bench.join("one", "one", "A").await,
        Err(CatalogError::Invalid(_))
    ));
    assert_eq!(bench.join("one", "one", "a").await.unwrap(), 1);
    assert!(matches!(
        bench.join("one", "one", "b").await,
        Err(CatalogError::Unauthenticated)
    ));
    bench.join_token("two", plain()).await.unwrap();
    assert!(matches!(
        bench.join("two", "two", "a").await,
        Err(CatalogError::Conflict(_))
    ));
    // A refused join leaves the token as it was.
    bench.clock.advance_ms(JOIN_TOKEN_LIFE_MS - 1);
    assert_eq!(bench.join("two", "two", "b").await.unwrap(), 1);
    bench.join_token("three", plain()).await.unwrap();
    bench.clock.advance_ms(JOIN_TOKEN_LIFE_MS);
    assert!(matches!(
        bench.join("three", "three", "c").await,
        Err(CatalogError::Unauthenticated)
    ));
    // Revoked, the name is free; the old generation stays refused.
    let revoked = bench.catalog.revoke_pop(&bench.caller, "a".into()).await.unwrap().value;
    assert!(!revoked.accepts(1) && revoked.accepts(2));
    assert!(matches!(
        bench.catalog.revoke_pop(&bench.caller, "z".into()).await,
        Err(CatalogError::NotFound { .. })
    ));
    bench.join_token("four", plain()).await.unwrap();
    assert_eq!(bench.join("four", "four", "a").await.unwrap(), 2);
    let record = bench.catalog.pop("a".into()).await.unwrap();
    assert!(!record.accepts(1) && record.accepts(2));
    // A token of a name takes the name over.
    let named = NewJoinToken {
        name: Some("a".into()),
        region: Some("us".into()),
        ..plain()
    };
    bench.join_token("five", named).await.unwrap();
    assert!(matches!(
        bench.join("five", "five", "b").await,
        Err(CatalogError::Conflict(_))
    ));
    assert_eq!(bench.join("five", "five", "a").await.unwrap(), 3);
    let record = bench.catalog.pop("a".into()).await.unwrap();
    assert_eq!((record.accepts(2), record.region.as_str()), (false, "us"));
    let names: Vec<String> = bench
        .catalog
        .pops()
        .await
        .unwrap()
        .into_iter()
        .map(|pop| pop.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    let audit = bench.catalog.audit(None, 0, 1_000).await.unwrap();
    let count = |action: &str| audit.iter().filter(|record| record.entry.action == action).count();
    assert_eq!((count("pop.token"), count("pop.join"), count("pop.revoke")), (5, 4, 1));
}

pub(super) async fn keys_of_the_platform_are_sealed_and_change_hands(bench: &Bench) {
    let key = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
    let get = async || bench.catalog.platform_key("authority").await.unwrap();
    assert_eq!(get().await, None);
    let set = async |before: Option<&str>, after: &str| {
        let before = before.map(|before| BlobHash::of(before.as_bytes()));
        bench
            .catalog
            .set_platform_key(&bench.caller, "authority", before, key(after))
            .await
    };
    set(None, "one").await.unwrap();
    assert!(matches!(set(None, "two").await, Err(CatalogError::Conflict(_))));
    assert!(matches!(
        set(Some("three"), "two").await,
        Err(CatalogError::Conflict(_))
    ));
    assert_eq!(get().await, Some(key("one")));
    set(Some("one"), "a canary that sings").await.unwrap();
    assert_eq!(get().await, Some(key("a canary that sings")));
    let rows = bench
        .database
        .read(|transaction| transaction.query("SELECT sealed FROM platform_keys", &[]))
        .await;
    let sealed = rows.unwrap()[0].blob(0).unwrap().to_vec();
    assert!(!sealed.windows(6).any(|window| window == b"canary"));
}

pub(super) async fn edits_of_kv_have_an_order(bench: &Bench) {
    let (one, two) = (NamespaceId::new("one"), NamespaceId::new("two"));
    let put = |key: &str, value: &str| KvEdit::Put {
        key: key.into(),
        value: KvValue::Inline(value.as_bytes().to_vec()),
        metadata: Some("{}".into()),
        expiration: Some(7),
    };
    let edit = async |namespace: &NamespaceId, edits: Vec<KvEdit>| {
        let done = bench
            .catalog
            .edit_kv(&bench.caller, bench.account.clone(), namespace.clone(), edits)
            .await;
        done.map(|done| done.value)
    };
    let blob = KvEdit::Put {
        key: "large".into(),
        value: KvValue::Blob(BlobHash::of(b"large")),
        metadata: None,
        expiration: None,
    };
    assert_eq!(
        edit(&one, vec![put("a", "1"), put("b", "1"), blob.clone()])
            .await
            .unwrap(),
        3
    );
    assert_eq!(edit(&two, vec![put("a", "2")]).await.unwrap(), 4);
    assert_eq!(
        edit(
            &one,
            vec![KvEdit::Delete { key: "a".into() }, put("b", "2"), put("b", "3")]
        )
        .await
        .unwrap(),
        7
    );
    let since = async |after: u64| {
        let log = bench.catalog.kv_since(after, 100).await.unwrap();
        log.into_iter()
            .map(|logged| (logged.position, logged.edit))
            .collect::<Vec<_>>()
    };
    // Of each key its last edit, at its own place.
    let delete = KvEdit::Delete { key: "a".into() };
    assert_eq!(
        since(0).await,
        [(3, blob), (4, put("a", "2")), (5, delete), (7, put("b", "3"))]
    );
    assert_eq!(since(5).await, [(7, put("b", "3"))]);
    assert_eq!(edit(&one, vec![KvEdit::Clear, put("c", "4")]).await.unwrap(), 9);
    assert_eq!(
        since(0).await,
        [(4, put("a", "2")), (8, KvEdit::Clear), (9, put("c", "4"))]
    );
    assert_eq!(bench.catalog.kv_position().await.unwrap(), 9);
    let last = bench
        .catalog
        .kv_last(bench.account.clone(), two, "a".into())
        .await
        .unwrap();
    assert_eq!(last.map(|logged| logged.position), Some(4));
    let large = KvEdit::Put {
        key: "x".into(),
        value: KvValue::Inline(vec![0; 65 * 1024]),
        metadata: None,
        expiration: None,
    };
    for refused in [
        vec![],
        vec![large],
        vec![put("", "1")],
        vec![put("\0", "1")],
        vec![put(&"x".repeat(513), "1")],
    ] {
        assert!(matches!(edit(&one, refused).await, Err(CatalogError::Invalid(_))));
    }
    assert_eq!(bench.catalog.kv_position().await.unwrap(), 9);
}
