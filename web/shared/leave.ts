import type { Connect } from "./api.ts";

/**
 * Leaves this page for the agent's, handing the ticket over in the body of a form, since a URL
 * would stay in the history. `refused` is called when this page's policy does not know the agent,
 * which may have joined after the page was loaded. `target` names another tab to go to instead.
 */
export function leaveFor(connect: Connect, refused: () => void, target?: string): void {
  const violated = (event: SecurityPolicyViolationEvent) => {
    if (event.effectiveDirective !== "form-action") return;
    document.removeEventListener("securitypolicyviolation", violated);
    refused();
  };
  document.addEventListener("securitypolicyviolation", violated);

  const form = document.createElement("form");
  form.method = "post";
  form.action = connect.viewer_url;
  if (target !== undefined) form.target = target;
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "ticket";
  field.value = connect.ticket;
  form.append(field);
  document.body.append(form);
  form.submit();
  form.remove();
}
