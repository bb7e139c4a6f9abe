/** A curve as small as a word. */
export function Spark({ values, label }: { values: readonly number[]; label: string }) {
  if (values.length < 2) return null;
  const every = Math.ceil(values.length / 60);
  const shown = values.filter((_, index) => index % every === 0 || index === values.length - 1);
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  const points = shown.map((value, index) => `${((index / (shown.length - 1)) * 96 + 2).toFixed(1)},${(22 - ((value - low) / (high - low || 1)) * 20).toFixed(1)}`);
  return (
    <svg role="img" aria-label={label} viewBox="0 0 100 24" preserveAspectRatio="none" className="h-6 w-24 shrink-0 text-accent-ink">
      <polyline points={points.join(" ")} fill="none" stroke="currentColor" strokeWidth="1.5" vectorEffect="non-scaling-stroke" strokeLinejoin="round" />
    </svg>
  );
}
