/** A view that breaks takes no other with it: it says so, and everything around it works on. */
import { Component, type ReactNode } from "react";
import { ErrorNote } from "~/shared/components/states";

export class Boundary extends Component<{ children: ReactNode }, { problem: Error | null }> {
  override state = { problem: null as Error | null };
  static getDerivedStateFromError = (problem: Error) => ({ problem });
  override render(): ReactNode {
    const { problem } = this.state;
    if (!problem) return this.props.children;
    return <div className="mx-auto max-w-2xl p-6"><ErrorNote error={{ message: problem.message }} onRetry={() => this.setState({ problem: null })} /></div>;
  }
}
