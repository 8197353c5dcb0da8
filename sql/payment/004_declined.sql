-- How often a saved card was declined lately: rules may ask before an order is taken.
create index payments_declined on payments (payment_method, created_at) where status = 'declined';
