import { mount } from "svelte";
import "../../shared/theme.css";
import "./console.css";
import App from "./App.svelte";

mount(App, { target: document.body });
