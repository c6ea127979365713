//! Whose commands count.

use abide_model::Fence;

/// The highest fence seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FenceGate {
    /// INVARIANT: never lowered; whoever raises it makes it durable before the command that brought
    /// it is obeyed.
    highest: Fence,
}

/// What passing the gate did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced {
    /// The command may be obeyed, under the fence that was known.
    Same,
    /// The command may be obeyed once this fence is durable.
    Raised(Fence),
    /// A leader that was replaced; it is told by whom.
    Refused {
        /// The fence that counts.
        highest: Fence,
    },
}

impl FenceGate {
    /// A gate that was at `highest` before the agent's restart.
    pub fn at(highest: Fence) -> Self {
        Self { highest }
    }

    /// The fence that counts.
    pub fn highest(&self) -> Fence {
        self.highest
    }

    /// Judges a command by its fence.
    pub fn pass(&mut self, fence: Fence) -> Fenced {
        if fence < self.highest {
            return Fenced::Refused { highest: self.highest };
        }
        if fence == self.highest {
            return Fenced::Same;
        }
        self.highest = fence;
        Fenced::Raised(fence)
    }

    /// Promises to obey none lower than `next` any more, to a broker that knows of all that were obeyed up to
    /// `known`: whoever knows less is told what there is, and nothing is promised. Gives the fence that is to
    /// be made durable before the answer.
    pub fn promise(&mut self, next: Fence, known: Fence) -> Option<Fence> {
        let raises = self.highest <= known && self.highest < next;
        raises.then(|| {
            self.highest = next;
            next
        })
    }
}
