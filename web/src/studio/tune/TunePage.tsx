import { Page, PageHead } from "../parts/layout";

export function TunePage() {
  return <Page><PageHead title="TunePage" /></Page>;
}
