//! Storage service (PS3.4 annex B) for one object: its bytes go to the spool as they come, and the answer is
//! given when the spool says that it is durable.
//!
//! An object that fails in the middle is still read to its end, so that its neighbours are not harmed.

use super::command::{Command, Response};
use super::negotiation::{Accepted, Context};
use super::status;
use crate::spool::{Activity, Arrival, Incoming, IntakeError, Spool, Stored};

/// An object between its command and its last fragment.
pub struct Receiving {
    command: Command,
    context_id: u8,
    incoming: Result<Incoming, IntakeError>,
}

impl Receiving {
    /// Begins with a C-STORE-RQ.
    pub fn begin(
        spool: &Spool,
        accepted: &Accepted,
        peer: &str,
        command: Command,
        (context_id, context): (u8, &Context),
    ) -> Self {
        // The presentation context's class must be the command's too; the data set is compared at the end.
        let incoming = if command.sop_class_uid == context.abstract_syntax {
            spool.receive(Arrival {
                calling_ae: accepted.calling_ae.clone(),
                called_ae: accepted.called_ae.clone(),
                peer: peer.to_owned(),
                priority: accepted.priority,
                transfer_syntax: context.transfer_syntax.clone(),
                announced: Some((command.sop_class_uid.clone(), command.sop_instance_uid.clone())),
            })
        } else {
            Err(IntakeError::UidMismatch)
        };
        Self {
            command,
            context_id,
            incoming,
        }
    }

    /// The presentation context it came in.
    #[must_use]
    pub fn context_id(&self) -> u8 {
        self.context_id
    }

    /// Takes a fragment of the data set.
    pub fn write(&mut self, fragment: &[u8]) {
        if let Ok(incoming) = &mut self.incoming
            && let Err(error) = incoming.write(fragment)
        {
            self.incoming = Err(error);
        }
    }

    /// Makes it durable and gives the response PDU.
    pub fn finish(self, activity: &Activity) -> (Result<Stored, IntakeError>, Vec<u8>) {
        let outcome = self.incoming.and_then(|incoming| incoming.finish(activity));
        let (status, comment) = status::of_store(&outcome);
        let pdu = Response {
            request: &self.command,
            status,
            comment: comment.as_deref(),
        }
        .to_pdu(self.context_id);
        (outcome, pdu)
    }
}
