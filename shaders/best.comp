/* best: history[step] = loss; improved = loss < best[0]; if improved, best = (loss, step). One item.
 * A step past the history's end is not recorded. */
SPEC(0, uint, WGX, 1) SPEC(1, uint, WGY, 1)
WGSIZE(WGX, WGY)
KERNEL(best)
RO(0, float, loss) RO(1, int, step) RW(2, float, kept) RW(3, float, history) WO(4, int, improved)
PARAMS P(uint, steps)
LOCALS
BODY
    if (GLIN != 0u) return;
    uint now = TOU(step[0]);
    if (now < steps) history[now] = loss[0];
    improved[0] = 0;
    if (loss[0] < kept[0]) {
        improved[0] = 1;
        kept[0] = loss[0];
        kept[1] = TOF(step[0]);
    }
END
