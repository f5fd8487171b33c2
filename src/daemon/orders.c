/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/orders.h"

#include "base/event.h"

#include <unistd.h>

int orders_init(struct orders *orders)
{
	*orders = (struct orders) { .event_fd = event_create() };
	if (orders->event_fd < 0)
		return orders->event_fd;
	int r = mutex_init(&orders->lock);
	if (r < 0) {
		(void) close(orders->event_fd);
		return r;
	}
	mutex_lock(&orders->lock);
	STAILQ_INIT(&orders->list);
	mutex_unlock(&orders->lock);
	return 0;
}

void orders_destroy(struct orders *orders)
{
	mutex_destroy(&orders->lock);
	(void) close(orders->event_fd);
}

static void refuse(struct control_order *order)
{
	buf_add_str(&order->answer, CONTROL_ORDER_TOO_LATE);
	orders_answer(order, 503);
}

void orders_put(struct orders *orders, struct control_order *order)
{
	mutex_lock(&orders->lock);
	bool closed = orders->closed;
	if (!closed)
		STAILQ_INSERT_TAIL(&orders->list, order, entry);
	mutex_unlock(&orders->lock);
	if (closed)
		refuse(order);
	else
		event_raise(orders->event_fd);
}

struct control_order *orders_take(struct orders *orders)
{
	event_clear(orders->event_fd); /* first: what comes after this raises it again */
	mutex_lock(&orders->lock);
	struct control_order *order = STAILQ_FIRST(&orders->list);
	if (order)
		STAILQ_REMOVE_HEAD(&orders->list, entry);
	mutex_unlock(&orders->lock);
	return order;
}

void orders_answer(struct control_order *order, unsigned status)
{
	order->status = status;
	order->done(order);
}

void orders_close(struct orders *orders)
{
	struct control_order *order = NULL;

	mutex_lock(&orders->lock);
	orders->closed = true;
	mutex_unlock(&orders->lock);
	while ((order = orders_take(orders)))
		refuse(order);
}
