//! One part of the cache: bounded by number and by bytes, and behind a lock of its own.

use std::mem::size_of;
use std::sync::Arc;

use hashbrown::HashTable;

use super::known::Known;
use crate::store::session_records::SessionName;
use crate::telemetry::metrics::CacheCounts;

/// What an entry takes beside the session: its slot, and its place in the index, of which up to half is free.
const ENTRY: usize = size_of::<Slot>() + 2 * (size_of::<u32>() + 1);

/// How many kinds of names changes are counted by. Most of the sessions that are read at once, a hundred perhaps, are of
/// different kinds, so that no word of one has another read again.
const STRIPES: usize = 256;

/// How much a shard may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) sessions: usize,
    pub(super) bytes: usize,
}

/// Sessions by name. Where there is no room for another, those go that were not used since the hand came by last.
pub(super) struct Shard {
    bounds: Bounds,
    /// Places in `slots`, by the names of what is there, which are not repeated here: a session is small.
    index: HashTable<u32>,
    slots: Vec<Slot>,
    hand: usize,
    bytes: usize,
    /// How often everything here may have come to be another than what was read before; and how often that of some
    /// sessions, by their names.
    clears: u64,
    changes: Box<[u64; STRIPES]>,
    pub(super) counts: CacheCounts,
}

struct Slot {
    known: Arc<Known>,
    bytes: usize,
    was_used: bool,
}

impl Shard {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            index: HashTable::new(),
            slots: Vec::new(),
            hand: 0,
            bytes: 0,
            clears: 0,
            changes: Box::new([0; STRIPES]),
            counts: CacheCounts::default(),
        }
    }

    /// How often what is read of a session may have come to be another. A reading that began at another number is kept by
    /// nobody.
    pub(super) fn changes(&self, name: &SessionName) -> u64 {
        // Neither ever falls, so their sum stays as it is only where both do.
        self.clears + self.changes[stripe(name)]
    }

    /// What was read of a session until now may be over.
    pub(super) fn note_change(&mut self, name: &SessionName) {
        self.changes[stripe(name)] += 1;
    }

    pub(super) fn get(&mut self, name: &SessionName) -> Option<&Arc<Known>> {
        let place = self.place_of(name)?;
        let slot = &mut self.slots[place];
        slot.was_used = true;
        Some(&slot.known)
    }

    /// Puts a session in, in the place of the one of its name. One that alone is more than there is room for is not kept.
    pub(super) fn put(&mut self, known: Arc<Known>) {
        self.remove(&known.name);
        let bytes = known.bytes() + ENTRY;
        if bytes > self.bounds.bytes || self.bounds.sessions == 0 {
            return;
        }
        self.make_room(1, bytes);
        self.bytes += bytes;
        let slots = &self.slots;
        let place = in_index(slots.len());
        self.index.insert_unique(hash(&known.name), place, |place| {
            hash(name_at(slots, *place))
        });
        self.slots.push(Slot {
            known,
            bytes,
            was_used: false,
        });
    }

    /// Weighs a session again, to which something was added.
    pub(super) fn weigh(&mut self, known: &Arc<Known>) {
        let Some(place) = self.place_of(&known.name) else {
            return;
        };
        let slot = &mut self.slots[place];
        if !Arc::ptr_eq(&slot.known, known) {
            return;
        }
        let bytes = known.bytes() + ENTRY;
        self.bytes = self.bytes - slot.bytes + bytes;
        slot.bytes = bytes;
        slot.was_used = true;
        self.make_room(0, 0);
    }

    pub(super) fn remove(&mut self, name: &SessionName) -> Option<Arc<Known>> {
        let place = self.place_of(name)?;
        Some(self.take(place))
    }

    /// Forgets everything. What was read until now may be over.
    pub(super) fn clear(&mut self) {
        self.clears += 1;
        // What was room for many stays room for few.
        self.index = HashTable::new();
        self.slots = Vec::new();
        (self.hand, self.bytes) = (0, 0);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Until so many more fit in.
    fn make_room(&mut self, sessions: usize, bytes: usize) {
        while !self.slots.is_empty()
            && (self.slots.len() + sessions > self.bounds.sessions
                || self.bytes + bytes > self.bounds.bytes)
        {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let slot = &mut self.slots[self.hand];
            if slot.was_used {
                slot.was_used = false;
                self.hand += 1;
            } else {
                self.take(self.hand);
            }
        }
    }

    fn place_of(&self, name: &SessionName) -> Option<usize> {
        let is_there = |place: &u32| name_at(&self.slots, *place) == name;
        let place = self.index.find(hash(name), is_there)?;
        Some(*place as usize)
    }

    fn take(&mut self, place: usize) -> Arc<Known> {
        let (here, last) = (in_index(place), in_index(self.slots.len() - 1));
        let left = hash(name_at(&self.slots, here));
        if let Ok(entry) = self.index.find_entry(left, |place| *place == here) {
            entry.remove();
        }
        // The last one comes into its place.
        let moved = hash(name_at(&self.slots, last));
        if let Some(place) = self.index.find_mut(moved, |place| *place == last) {
            *place = here;
        }
        let slot = self.slots.swap_remove(place);
        self.bytes -= slot.bytes;
        slot.known
    }
}

fn name_at(slots: &[Slot], place: u32) -> &SessionName {
    &slots[place as usize].known.name
}

fn in_index(place: usize) -> u32 {
    u32::try_from(place).expect("a shard holds few")
}

/// Names are hashes already. The lowest bits choose the shard.
fn hash(name: &SessionName) -> u64 {
    name.bits().rotate_left(32)
}

/// By other bits than those that choose the shard and the place in its index.
fn stripe(name: &SessionName) -> usize {
    let kind = (name.bits() >> 16) % STRIPES as u64;
    usize::try_from(kind).expect("there are few of them")
}
