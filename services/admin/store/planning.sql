-- The query of store/planning.py.

-- name: plan_for_values!
-- The planner must know which of the optional filters have a value. Most pages read are in memory or on an SSD, so random
-- reads cost little more than sequential ones: a whole table is not scanned only to avoid a sort. With 4 MB, PostgreSQL's
-- default, the bitmap of 100,000 rows of a million keeps whole pages, and all rows of these pages are read. The planner's estimates
-- are sometimes so high that PostgreSQL would compile a query (JIT), which takes 100 ms and more.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('random_page_cost', '1.1', true),
       set_config('work_mem', '16MB', true), set_config('jit', 'off', true);
