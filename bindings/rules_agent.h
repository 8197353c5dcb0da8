/* rules_agent.h: see rules_agent.c. */
#ifndef FASTR_RULES_AGENT_H
#define FASTR_RULES_AGENT_H

#include "bindings/util.h"

void fastr_rules_agent_start(void); /* in a worker, with its loop */
void fastr_rules_agent_stop(void);

#endif
