-- What ended a parking: who took the event up again, or let it go for good and why (null: it was taken up).

alter table parked add column ended_by text, add column dropped_because text;
