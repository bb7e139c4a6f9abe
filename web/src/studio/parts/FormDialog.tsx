/** A dialog that asks for something and sends it: its fields scroll, what went wrong and its buttons stay in sight. */
import type { ReactNode } from "react";
import { asErrorBody } from "~/shared/api/http";
import { Button } from "~/shared/components/Button";
import { Dialog } from "~/shared/components/Dialog";
import { ErrorNote } from "~/shared/components/states";
import { useT } from "~/shared/i18n";

interface FormDialogProps {
  title: string;
  /** What its main button says. */
  action: string;
  isPending: boolean;
  /** Whether it cannot be sent as it is. */
  disabled?: boolean;
  error: Error | null;
  onSubmit: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function FormDialog({ title, action, isPending, disabled, error, onSubmit, onClose, children }: FormDialogProps) {
  const shared = useT();
  return (
    <Dialog title={title} onClose={onClose}>
      <form noValidate className="flex min-h-0 flex-col" onSubmit={(event) => { event.preventDefault(); onSubmit(); }}>
        <div className="flex min-h-0 flex-col gap-4 overflow-y-auto px-4 pt-1 pb-4">{children}</div>
        {error && <div className="shrink-0 px-4 pb-3"><ErrorNote error={asErrorBody(error)} /></div>}
        <div className="flex shrink-0 justify-end gap-2 border-t border-line p-4">
          <Button onClick={onClose}>{shared("cancel")}</Button>
          <Button kind="primary" type="submit" disabled={isPending || disabled}>{action}</Button>
        </div>
      </form>
    </Dialog>
  );
}
