//! Repeated commands.

use tancho_domain::ids::{CommandId, UserId};
use tancho_store::commands::{self, Answer, Begun, Command};
use tancho_store::{Db, StoreError};

use crate::harness::{NOW_MS, small_network, uuid, whole};

fn command(actor_id: &UserId) -> Command {
    Command {
        id: CommandId::new(uuid()),
        actor_id: actor_id.clone(),
        name: "POST /api/v1/sites".to_owned(),
        request_hash: [1; 32],
    }
}

on_both_databases! {
    async fn a_repeat_gets_the_first_answer(db: &Db) {
        let (network, _, reader) = small_network(db).await;
        let scope = whole(&network);
        let command = command(&reader.id);
        let answer = Answer { status: 201, body: "{\"id\":\"頭部\"}".to_owned() };
        let mut tx = db.write().await.unwrap();
        assert_eq!(commands::begin(&mut tx, &scope, &command, NOW_MS).await.unwrap(), Begun::New);
        commands::finish(&mut tx, &scope, &command.id, &answer).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = db.write().await.unwrap();
        let again = commands::begin(&mut tx, &scope, &command, NOW_MS + 1).await.unwrap();
        assert_eq!(again, Begun::Repeated(answer.clone()));
        let twice = commands::finish(&mut tx, &scope, &command.id, &answer).await;
        assert!(matches!(twice, Err(StoreError::Stale)), "{twice:?}");
    }

    async fn an_id_used_for_something_else_or_by_someone_else_is_a_conflict(db: &Db) {
        let (network, _, reader) = small_network(db).await;
        let scope = whole(&network);
        let first = command(&reader.id);
        let mut tx = db.write().await.unwrap();
        commands::begin(&mut tx, &scope, &first, NOW_MS).await.unwrap();
        commands::finish(&mut tx, &scope, &first.id, &Answer { status: 200, body: "{}".to_owned() }).await.unwrap();
        tx.commit().await.unwrap();
        let others = [
            Command { request_hash: [2; 32], ..first.clone() },
            Command { name: "PUT /x".to_owned(), ..first.clone() },
            Command { actor_id: UserId::new(uuid()), ..first.clone() },
        ];
        for other in others {
            let mut tx = db.write().await.unwrap();
            let refused = commands::begin(&mut tx, &scope, &other, NOW_MS).await;
            assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
        }
    }

    async fn a_refused_command_leaves_nothing(db: &Db) {
        let (network, _, reader) = small_network(db).await;
        let scope = whole(&network);
        let command = command(&reader.id);
        let mut tx = db.write().await.unwrap();
        commands::begin(&mut tx, &scope, &command, NOW_MS).await.unwrap();
        drop(tx);
        let mut tx = db.write().await.unwrap();
        assert_eq!(commands::begin(&mut tx, &scope, &command, NOW_MS).await.unwrap(), Begun::New);
    }

    async fn old_answers_are_forgotten(db: &Db) {
        let (network, _, reader) = small_network(db).await;
        let scope = whole(&network);
        let mut tx = db.write().await.unwrap();
        let command = command(&reader.id);
        commands::begin(&mut tx, &scope, &command, NOW_MS).await.unwrap();
        assert_eq!(commands::remove_old_commands(&mut tx, NOW_MS).await.unwrap(), 0);
        assert_eq!(commands::remove_old_commands(&mut tx, NOW_MS + 1).await.unwrap(), 1);
    }
}
